//! Messages of SIP (RFC 3261 §7): the request that is sent, and what is read of an answer.

use std::net::SocketAddr;

/// Longest head of an answer, and longest body after it, in bytes.
pub(super) const MAX_HEAD: usize = 16 << 10;
pub(super) const MAX_BODY: usize = 64 << 10;
/// Longest text of a header that is told.
const MAX_TOLD: usize = 200;

/// What tells an answer to this request from any other (RFC 3261 §17.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Transaction {
    /// Of the `Via` header; begins with the magic cookie of §8.1.1.7.
    pub(super) branch: String,
    pub(super) call_id: String,
    pub(super) tag: String,
}

/// The request `OPTIONS` (§11.1) to `host`, from `local`.
pub(super) fn options(
    host: &str,
    port: Option<u16>,
    via: &str,
    local: SocketAddr,
    of: &Transaction,
) -> Vec<u8> {
    let host = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let uri = match port {
        Some(port) => format!("sip:{host}:{port}"),
        None => format!("sip:{host}"),
    };
    let Transaction { branch, call_id, tag } = of;
    let ip = match local {
        SocketAddr::V4(local) => local.ip().to_string(),
        SocketAddr::V6(local) => format!("[{}]", local.ip()),
    };
    format!(
        "OPTIONS {uri} SIP/2.0\r\n\
         Via: SIP/2.0/{via} {local};branch={branch};rport\r\n\
         Max-Forwards: 70\r\n\
         To: <{uri}>\r\n\
         From: <sip:holm@{ip}>;tag={tag}\r\n\
         Call-ID: {call_id}\r\n\
         CSeq: 1 OPTIONS\r\n\
         Contact: <sip:holm@{local}>\r\n\
         Accept: application/sdp\r\n\
         User-Agent: holm/{}\r\n\
         Content-Length: 0\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
    .into_bytes()
}

/// What an answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) branch: Option<String>,
    pub(super) call_id: Option<String>,
    pub(super) method: Option<String>,
    pub(super) server: Option<String>,
    pub(super) allow: Option<String>,
    /// Bytes of its body, if they are said.
    pub(super) body: Option<usize>,
}

impl Response {
    /// Whether it answers this request.
    pub(super) fn answers(&self, of: &Transaction) -> bool {
        self.branch.as_deref() == Some(&of.branch)
            && self.call_id.as_deref() == Some(&of.call_id)
            && self.method.as_deref() == Some("OPTIONS")
    }

    /// Reads a head without the empty line after it.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn parse(head: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let refuse = || "it does not speak SIP: the first line is no status of SIP/2.0".to_owned();
        let rest = first.strip_prefix("SIP/2.0 ").ok_or_else(refuse)?;
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let code = code.parse().ok().filter(|code| (100..=699).contains(code));
        let is_code = rest.as_bytes().get(3).is_none_or(|after| *after == b' ');
        let code = code.filter(|_| is_code).ok_or_else(refuse)?;
        let mut response = Self { code, reason: told(reason), ..Self::default() };
        // A line that begins with a space goes on with the one before (§7.3.1).
        let mut headers: Vec<String> = Vec::new();
        for line in lines {
            match (line.starts_with([' ', '\t']), headers.last_mut()) {
                (true, Some(before)) => {
                    before.push(' ');
                    before.push_str(line.trim());
                }
                _ => headers.push(line.to_owned()),
            }
        }
        for header in &headers {
            let Some((name, value)) = header.split_once(':') else { continue };
            let value = value.trim();
            match name.trim().to_ascii_lowercase().as_str() {
                // The first is the one that the request had alone.
                "via" | "v" if response.branch.is_none() => response.branch = branch(value),
                "call-id" | "i" => response.call_id = Some(value.to_owned()),
                "cseq" => {
                    let mut words = value.split_whitespace();
                    let number = words.next();
                    response.method =
                        words.next().filter(|_| number == Some("1")).map(str::to_owned);
                }
                "server" | "user-agent" => response.server = Some(told(value)),
                "allow" => response.allow = Some(told(value)),
                "content-length" | "l" => response.body = value.parse().ok(),
                _ => {}
            }
        }
        Ok(response)
    }
}

fn branch(via: &str) -> Option<String> {
    let first = via.split(',').next()?;
    first.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("branch").then(|| value.trim().to_owned())
    })
}

fn told(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_TOLD).collect()
}

/// Where the head of the first message ends, and the next thing after its empty line begins.
pub(super) fn head_end(bytes: &[u8]) -> Option<(usize, usize)> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| (at, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn transaction() -> Transaction {
        let text = |text: &str| text.to_owned();
        Transaction { branch: text("z9hG4bKab"), call_id: text("1@holm"), tag: text("t") }
    }

    #[test]
    fn the_request_is_what_rfc_3261_says() {
        let local = "[2001:db8::2]:5062".parse().expect("valid");
        let bytes = options("2001:db8::1", Some(5_070), "TCP", local, &transaction());
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.starts_with("OPTIONS sip:[2001:db8::1]:5070 SIP/2.0\r\n"), "{text}");
        // §8.1.1: these have to be in every request.
        for header in
            ["To: <sip:", "From: <sip:", "CSeq: 1 OPTIONS", "Call-ID: 1@holm", "Max-Forwards: 70"]
        {
            assert!(text.contains(&format!("\r\n{header}")), "{header}");
        }
        let via = "\r\nVia: SIP/2.0/TCP [2001:db8::2]:5062;branch=z9hG4bKab;rport\r\n";
        assert!(text.contains(via) && text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn an_answer_is_read_in_all_its_forms() {
        let head = "SIP/2.0 200 All right\r\nv: SIP/2.0/UDP a;rport=1;\r\n Branch = z9hG4bKab , SIP/2.0/UDP b;branch=x\r\n\
                    Via: SIP/2.0/UDP c;branch=other\r\ni:1@holm\r\nCSeq: 1  OPTIONS\r\nServer: pbx 1\r\nAllow: INVITE,\r\n\tBYE\r\nl: 12";
        let read = Response::parse(head.as_bytes()).expect("valid");
        assert!(read.answers(&transaction()), "{read:?}");
        assert_eq!((read.code, &*read.reason, read.body), (200, "All right", Some(12)));
        assert_eq!(read.allow.as_deref(), Some("INVITE, BYE"));
        for other in ["Call-ID: 2@holm", "CSeq: 2 OPTIONS", "CSeq: 1 INVITE"] {
            let read = Response::parse(format!("{head}\r\n{other}").as_bytes()).expect("valid");
            assert!(!read.answers(&transaction()), "{other}");
        }
        for bad in
            ["", "HTTP/1.1 200 OK", "SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 2000 x", "SIP/2.0"]
        {
            assert!(Response::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in "[ -~\r\n\t:;=]{0,200}") {
            for bytes in [bytes, [b"SIP/2.0 200 OK\r\n", head.as_bytes()].concat()] {
                if let Some((end, next)) = head_end(&bytes) {
                    prop_assert!(end < next && next <= bytes.len());
                }
                if let Ok(read) = Response::parse(&bytes) {
                    prop_assert!((100..=699).contains(&read.code));
                    prop_assert!(read.reason.chars().count() <= MAX_TOLD);
                }
            }
        }
    }
}
