// A certified OpenID provider on the loopback, for people of the tests. What it is told comes as one
// JSON argument: {library, port, redirect, home, kid, people, wrongNonce, slowToken_ms, idToken_s}.
import { generateKeyPairSync } from "node:crypto";

const told = JSON.parse(process.argv[2]);
const { default: Provider } = await import(told.library);
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = { ...privateKey.export({ format: "jwk" }), kid: told.kid, alg: "RS256", use: "sig" };

const provider = new Provider(`http://127.0.0.1:${told.port}`, {
  clients: [
    {
      client_id: "console",
      client_secret: "secret-of-the-tests",
      redirect_uris: [told.redirect],
      post_logout_redirect_uris: [told.home],
      response_types: ["code"],
      grant_types: ["authorization_code"],
    },
  ],
  jwks: { keys: [key] },
  cookies: { keys: ["of the tests"] },
  claims: {
    openid: ["sub"],
    email: ["email", "email_verified"],
    profile: ["name", "preferred_username"],
    roles: ["realm"],
  },
  scopes: ["openid", "profile", "email", "roles"],
  ttl: { IdToken: told.idToken_s ?? 600, AccessToken: 600, Interaction: 600, Session: 600, Grant: 600 },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, ...told.people[id] }),
  }),
});

provider.use(async (ctx, next) => {
  if (told.wrongNonce && ctx.path === "/auth") ctx.query = { ...ctx.query, nonce: "another" };
  await next();
  if (told.slowToken_ms && ctx.path === "/token")
    await new Promise((done) => setTimeout(done, told.slowToken_ms));
});

provider.listen(told.port, "127.0.0.1", () => console.log("listening"));
