/** What all views share: who is logged in, and the router. Set once by main.js. */

const RANK = { viewer: 0, operator: 1, admin: 2 };

export const app = { session: null, router: null };

/** Whether the person may do what needs a role. */
export const may = (role) => app.session !== null && RANK[app.session.role] >= RANK[role];

export const go = (address, options) => app.router.go(address, options);

/** Where browsers place test calls; "" for nowhere. */
export const gateway = () => document.querySelector('meta[name="gateway"]').content;
