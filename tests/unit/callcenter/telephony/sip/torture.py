"""One message for every section of RFC 4475, in words of our own, and what a user agent answers.

`answer` is the status of the response, CALL for an INVITE that rings, None where nothing may come
back. Every message has its own Call-ID, so that all can be sent to one endpoint.
"""

from dataclasses import dataclass

CALL = 100
SDP = (
    "v=0\r\no=peer 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 49217 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"
)


@dataclass(frozen=True)
class Torture:
    """One message."""

    section: str
    answer: int | None
    data: bytes


def message(section: str, start: str, answer: int | None, body: str = "", **changes) -> Torture:
    """A sound message with some headers changed; None leaves one out, a tuple repeats one."""
    method = start.split(" ")[0]
    headers = {
        "Via": f"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKt{section};rport",
        "Max-Forwards": "70",
        "From": f"<sip:caller@example.net>;tag=t{section}",
        "To": "<sip:15550100@example.com>",
        "Call-ID": f"torture-{section}",
        "CSeq": f"8 {method}",
        "Contact": "<sip:caller@192.0.2.1:5060>",
        "Content-Type": "application/sdp" if body else None,
        "Content-Length": str(len(body.encode())),
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [start]
    for name, value in headers.items():
        for one in value if isinstance(value, tuple) else (value,):
            lines += [] if one is None else [f"{name}: {one}"]
    return Torture(section, answer, ("\r\n".join(lines) + "\r\n\r\n" + body).encode())


def raw(section: str, answer: int | None, *lines: str) -> Torture:
    """A message as it is written here."""
    return Torture(section, answer, ("\r\n".join(lines) + "\r\n\r\n").encode())


TO_US = "sip:15550100@example.com SIP/2.0"
LONG = "a-very-" + "long-" * 120 + "name"

TORTURES = [
    # --- 3.1.1: valid, if nothing one would write ---
    raw(
        "3.1.1.1",  # spaces, folds, odd case, compact names, escapes; To has a tag: no such dialog
        481,
        "INVITE sip:15550100@example.com;unknown SIP/2.0",
        "TO :\r\n sip:15550100@example.com ;   tag    = 1918n",
        'from   : "J \\\\\\""       <sip:caller@example.net>\r\n  ;\r\n  tag = 98j8',
        "MaX-fOrWaRdS: 0068",
        "i: torture-3.1.1.1",
        "CSeq: 0009\r\n  INVITE",
        "Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.1:5060;branch=z9hG4bKt1  ;rport",
        "s :",
        "NewFangledHeader:   newfangled value\r\n continued newfangled value",
        "v:  SIP  / 2.0  / TCP     spindle.example.net   ;\r\n  branch  =   z9hG4bKt2  ,",
        " SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bKt3",
        'm:"Quoted \\"\\"" <sip:caller@192.0.2.1> ; newparam =\r\n   newvalue ;\r\n  q = 0.33',
        "l: 0",
    ),
    message(
        "3.1.1.2",
        "!interesting-Method0123456789_*+`.%indeed'~ "
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too."
        "(doesn't-it)@example.com SIP/2.0",
        405,
        To='"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)@example.com>',
        extensionHeader_25='"\ufffd\u00a4" \u4e2d\u6587',
    ),
    message(
        "3.1.1.3",
        "INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0",
        CALL,
        SDP,
        To="<sip:%75se%72@example.com>",
        From="<sip:I%20have%20spaces@example.net>;tag=938",
        Contact="<sip:cal%6Cer@192.0.2.1;%6C%72;n%61me=v%61lue%25%34%31>",
    ),
    message(
        "3.1.1.4",
        f"REGISTER {TO_US}",
        405,
        To="<sip:null-%00-null@example.com>",
        Contact=("<sip:%00@192.0.2.1>", "<sip:%00%00@192.0.2.1>"),
    ),
    message("3.1.1.5", f"RE%47IST%45R {TO_US}", 405, To='"%Z%45" <sip:resource@example.com>'),
    message("3.1.1.6", f"OPTIONS {TO_US}", 200, From="caller<sip:caller@example.net>;tag=323"),
    message(
        "3.1.1.7",
        f"INVITE sip:{LONG}@example.com SIP/2.0",
        CALL,
        SDP,
        To=f'"{LONG} {LONG}" <sip:{LONG}@example.com>;{LONG}={LONG}',
        From=f"<sip:{LONG}@example.net;{LONG}>;tag=12982982982424;{LONG}",
        Via="SIP/2.0/TCP sip33.example.net, "
        + ", ".join(f"SIP/2.0/TCP sip{n}.example.net;branch=z9hG4bK{n}{LONG}" for n in range(32)),
        Unknown=LONG * 8,
    ),
    Torture(
        "3.1.1.8",  # what follows Content-Length in a datagram is nothing
        405,
        message("3.1.1.8", f"REGISTER {TO_US}", 405).data
        + message("3.1.1.8b", f"INVITE {TO_US}", CALL, SDP).data,
    ),
    message("3.1.1.9", "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0", 200),
    message(
        "3.1.1.10",
        f"OPTIONS {TO_US}",
        200,
        Via=tuple(
            f"SIP/2.0/{name} t{number}.example.net;branch=z9hG4bKt10{number}"
            for number, name in enumerate(("UDP", "SCTP", "TLS", "UNKNOWN", "TCP"))
        ),
    ),
    message(
        "3.1.1.11",
        f"MESSAGE {TO_US}",
        405,
        "--cut\r\nContent-Type: text/plain\r\n\r\nHello\r\n--cut\r\n"
        "Content-Type: application/octet-stream\r\n\r\n\x00\x01\x02\r\n\r\nx\r\n--cut--\r\n",
        Content_Type="multipart/mixed;boundary=cut",
    ),
    message(
        "3.1.1.12",
        "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e",
        None,
        CSeq="35 INVITE",
    ),
    message("3.1.1.13", "SIP/2.0 100 ", None, CSeq="35 INVITE"),
    # --- 3.1.2: broken ---
    message(
        "3.1.2.1",
        f"INVITE {TO_US}",
        400,
        SDP,
        Via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKt21;;,;,,",
        Contact='"Joe" <sip:joe@example.org>;;;;',
    ),
    message("3.1.2.2", f"INVITE {TO_US}", 400, SDP, Content_Length="9999"),
    message("3.1.2.3", f"INVITE {TO_US}", 400, SDP, Content_Length="-999"),
    message(
        "3.1.2.4",
        f"REGISTER {TO_US}",
        400,
        CSeq="36893488147419103232 REGISTER",
        Max_Forwards="300",
        Expires="10" + "0" * 50,
    ),
    message(
        "3.1.2.5",
        "SIP/2.0 503 Service Unavailable",
        None,
        CSeq="9292394834772304023312 OPTIONS",
        Retry_After="949302838503028349304023988",
        Warning='1812 overture "In Progress"',
    ),
    message("3.1.2.6", f"INVITE {TO_US}", CALL, SDP, To='"Mr. J. User <sip:j.user@example.com>'),
    message("3.1.2.7", "INVITE <sip:15550100@example.com> SIP/2.0", 400, SDP),
    message("3.1.2.8", "INVITE sip:15550100@example.com; lr SIP/2.0", 400, SDP),
    message("3.1.2.9", "INVITE  sip:15550100@example.com  SIP/2.0", 400, SDP),
    message("3.1.2.10", f"OPTIONS {TO_US}  ", 400),
    message(
        "3.1.2.11",
        "INVITE sip:15550100@example.com?Route=%3Csip:example.com%3E SIP/2.0",
        400,
        SDP,
    ),
    message("3.1.2.12", f"INVITE {TO_US}", CALL, SDP, Date="Fri, 01 Jan 2010 16:00:00 EST"),
    message(
        "3.1.2.13",
        f"REGISTER {TO_US}",
        405,
        Contact="sip:user@example.com?Route=%3Csip:sip.example.com%3E",
    ),
    message(
        "3.1.2.14", f"OPTIONS {TO_US}", 200, To='"Watson, Thomas" < sip:t.watson@example.org >'
    ),
    message(
        "3.1.2.15", f"OPTIONS {TO_US}", 200, From="Bell, Alexander <sip:bell@example.com>;tag=43"
    ),
    message(
        "3.1.2.16",
        "OPTIONS sip:15550100@example.com SIP/7.0",
        505,
        Via="SIP/7.0/UDP 192.0.2.1:5060;branch=z9hG4bKt216;rport",
    ),
    message("3.1.2.17", f"OPTIONS {TO_US}", 400, CSeq="8 INVITE"),
    message("3.1.2.18", f"NEWMETHOD {TO_US}", 400, CSeq="34 INVITE"),
    message("3.1.2.19", "SIP/2.0 4294967301 better not break the receiver", None, CSeq="35 INVITE"),
    # --- 3.2: transactions ---
    message("3.2.1", f"OPTIONS {TO_US}", 200, Via="SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"),
    # --- 3.3: what a message asks for ---
    message("3.3.1", f"INVITE {TO_US}", 400, SDP, Call_ID=None, From=None, To=None),
    message("3.3.2", "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", 416),
    message("3.3.3", "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0", 416),
    message(
        "3.3.4",
        f"REGISTER {TO_US}",
        400,
        To="isbn:2983792873",
        From="<http://www.example.com>;tag=3234233",
        Contact="<name:John_Smith>",
    ),
    message(
        "3.3.5",
        f"OPTIONS {TO_US}",
        420,
        Require="nothingSupportsThis, nothingSupportsThisEither",
        Proxy_Require="noProxiesSupportThis, norDoAnyProxiesSupportThis",
    ),
    message(
        "3.3.6",
        f"INVITE {TO_US}",
        415,
        "<audio>\r\n <pcmu port='443'/>\r\n</audio>\r\n",
        Content_Type="application/unknownformat",
    ),
    message(
        "3.3.7", f"REGISTER {TO_US}", 405, Authorization="NoOneKnowsThisScheme opaque-data=here"
    ),
    message(
        "3.3.8",
        f"INVITE {TO_US}",
        400,
        SDP,
        CSeq=("5 INVITE", "59 INVITE"),
        Call_ID=("torture-3.3.8", "torture-3.3.8-again"),
        To=("<sip:15550100@example.com>", "<sip:other@example.com>"),
    ),
    message("3.3.9", f"OPTIONS {TO_US}", 400, "There are two lengths", Content_Length=("13", "5")),
    message(
        "3.3.10",
        "SIP/2.0 200 OK",
        None,
        Via=("SIP/2.0/UDP 192.0.2.198;branch=z9hG4bKt", "SIP/2.0/UDP 255.255.255.255;branch=x"),
        CSeq="8 INVITE",
    ),
    message("3.3.11", f"OPTIONS {TO_US}", 200, Max_Forwards="0"),
    message("3.3.12", f"REGISTER {TO_US}", 405, Contact="sip:+19725552222@gw1.example.net;unknown"),
    message("3.3.13", f"REGISTER {TO_US}", 405, Contact="<sip:+19725552222@gw1.example.net;u>"),
    message(
        "3.3.14", f"REGISTER {TO_US}", 405, Contact="<sip:alice@192.0.2.1?Route=%3Csip:x.net%3E>"
    ),
    message("3.3.15", f"INVITE {TO_US}", 406, SDP, Accept="text/nobodyKnowsThis"),
    # --- 3.4: from before RFC 3261: no branch, no tag, no Contact, no lengths ---
    message(
        "3.4.1",
        f"INVITE {TO_US}",
        CALL,
        SDP,
        Via="SIP/2.0/UDP 192.0.2.1",
        From="<sip:+13035551111@example.net;user=phone>",
        Max_Forwards=None,
        Contact=None,
        Content_Length=None,
    ),
]
