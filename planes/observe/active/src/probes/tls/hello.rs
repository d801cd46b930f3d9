//! A first message of TLS of our own making, and the server's first word to it. rustls speaks TLS 1.2 and 1.3 and
//! knows no weak cipher: what else a server would take, only a message like this tells. Nothing more is sent after it.

/// Longest answer that is looked at, in bytes.
pub(super) const MAX_REPLY: usize = 1_024;

/// TLS 1.0 (RFC 2246), as it stands on the wire.
pub(super) const TLS_1_0: u16 = 0x0301;
/// TLS 1.1 (RFC 4346).
pub(super) const TLS_1_1: u16 = 0x0302;
/// TLS 1.2 (RFC 5246).
pub(super) const TLS_1_2: u16 = 0x0303;

/// How a cipher suite stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keys are agreed on anew for each connection.
    Forward,
    /// Who has the server's key reads what was recorded (RFC 9325 §4.1).
    NotForward,
    /// No longer to be used: RC4 (RFC 7465), 3DES (RFC 9325 §4.2.1), or no encryption at all.
    Weak,
}

/// The suites that servers still know, by their IANA numbers and names.
pub(super) const SUITES: [(u16, &str, Kind); 42] = [
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Kind::Forward),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Kind::Forward),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Kind::Forward),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Kind::Forward),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Kind::Forward),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Kind::Forward),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", Kind::Forward),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", Kind::Forward),
    (0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Kind::Forward),
    (0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", Kind::Forward),
    (0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", Kind::Forward),
    (0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", Kind::Forward),
    (0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", Kind::Forward),
    (0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", Kind::Forward),
    (0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", Kind::Forward),
    (0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", Kind::Forward),
    (0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", Kind::Forward),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", Kind::Forward),
    (0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", Kind::Forward),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA", Kind::Forward),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA", Kind::Forward),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", Kind::NotForward),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", Kind::NotForward),
    (0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256", Kind::NotForward),
    (0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256", Kind::NotForward),
    (0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA", Kind::NotForward),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA", Kind::NotForward),
    (0x0041, "TLS_RSA_WITH_CAMELLIA_128_CBC_SHA", Kind::NotForward),
    (0x0084, "TLS_RSA_WITH_CAMELLIA_256_CBC_SHA", Kind::NotForward),
    (0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", Kind::Weak),
    (0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", Kind::Weak),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", Kind::Weak),
    (0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA", Kind::Weak),
    (0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", Kind::Weak),
    (0xc011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA", Kind::Weak),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA", Kind::Weak),
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5", Kind::Weak),
    (0x0009, "TLS_RSA_WITH_DES_CBC_SHA", Kind::Weak),
    (0xc010, "TLS_ECDHE_RSA_WITH_NULL_SHA", Kind::Weak),
    (0x003b, "TLS_RSA_WITH_NULL_SHA256", Kind::Weak),
    (0x0002, "TLS_RSA_WITH_NULL_SHA", Kind::Weak),
    (0x0001, "TLS_RSA_WITH_NULL_MD5", Kind::Weak),
];

/// The name of a suite that was offered.
pub(super) fn name(suite: u16) -> Option<&'static str> {
    SUITES.iter().find(|(number, ..)| *number == suite).map(|(_, name, _)| *name)
}

/// Puts what `write` writes after its length in so many bytes.
fn counted(out: &mut Vec<u8>, bytes: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.resize(at + bytes, 0);
    write(out);
    let length = (out.len() - at - bytes) as u32;
    let length = length.to_be_bytes();
    out[at..at + bytes].copy_from_slice(&length[4 - bytes..]);
}

fn words(out: &mut Vec<u8>, words: &[u16]) {
    counted(out, 2, |out| words.iter().for_each(|word| out.extend(word.to_be_bytes())));
}

/// A ClientHello (RFC 5246 §7.4.1.2) of `version` at most. `host` is a name, not an address (RFC 6066 §3).
pub(super) fn client_hello(
    version: u16,
    suites: &[u16],
    host: Option<&str>,
    random: [u8; 32],
) -> Vec<u8> {
    let mut out = vec![22, 3, 1];
    counted(&mut out, 2, |out| {
        out.push(1);
        counted(out, 3, |out| {
            out.extend(version.to_be_bytes());
            out.extend(random);
            out.push(0);
            words(out, suites);
            out.extend([1, 0]);
            counted(out, 2, |out| {
                if let Some(host) = host {
                    out.extend([0, 0]);
                    counted(out, 2, |out| {
                        counted(out, 2, |out| {
                            out.push(0);
                            counted(out, 2, |out| out.extend(host.as_bytes()));
                        });
                    });
                }
                // Groups: x25519, P-256, P-384, P-521, ffdhe2048; points: uncompressed.
                out.extend([0, 10]);
                counted(out, 2, |out| words(out, &[29, 23, 24, 25, 256]));
                out.extend([0, 11, 0, 2, 1, 0]);
                if version >= TLS_1_2 {
                    let schemes = [
                        0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601,
                        0x0203, 0x0201,
                    ];
                    out.extend([0, 13]);
                    counted(out, 2, |out| words(out, &schemes));
                }
                // That renegotiation would be safe (RFC 5746 §3.4).
                out.extend([0xff, 1, 0, 1, 0]);
            });
        });
    });
    out
}

/// A server's first word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// It goes on with this version and suite.
    Takes { version: u16, suite: u16 },
    /// It refuses, with an alert of this description (RFC 5246 §7.2).
    Refuses(u8),
    /// It does not speak TLS.
    Other,
}

/// The reply that `bytes` begin with; `None`: more is needed to say.
pub(super) fn reply(bytes: &[u8]) -> Option<Reply> {
    let [kind, major, _, high, low, body @ ..] = bytes else {
        let is_tls = matches!(bytes, [] | [21 | 22] | [21 | 22, 3, ..]);
        return (!is_tls).then_some(Reply::Other);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if *major != 3 || length > (1 << 14) + 2_048 {
        return Some(Reply::Other);
    }
    match kind {
        21 if length == 2 => body.get(1).map(|description| Reply::Refuses(*description)),
        22 => server_hello(body),
        _ => Some(Reply::Other),
    }
}

fn server_hello(body: &[u8]) -> Option<Reply> {
    // Type, length, version, random, and the length of the session's name.
    let (kind, sid) = (body.first()?, usize::from(*body.get(38)?));
    if *kind != 2 || sid > 32 {
        return Some(Reply::Other);
    }
    let word = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    Some(Reply::Takes { version: word(4)?, suite: word(39 + sid)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hello_is_what_rfc_5246_says() {
        let hello = client_hello(TLS_1_0, &[0x002f, 0xc013], Some("a.b"), [7; 32]);
        let [22, 3, 1, high, low, 1, a, b, c, 3, 1, rest @ ..] = &hello[..] else {
            panic!("{hello:?}")
        };
        assert_eq!(usize::from(u16::from_be_bytes([*high, *low])), hello.len() - 5);
        assert_eq!(u32::from_be_bytes([0, *a, *b, *c]) as usize, hello.len() - 9);
        assert_eq!(rest[..32], [7; 32]);
        assert_eq!(rest[32..43], [0, 0, 4, 0, 0x2f, 0xc0, 0x13, 1, 0, 0, 12 + 16 + 6 + 5]);
        assert_eq!(rest[43..55], [0, 0, 0, 8, 0, 6, 0, 0, 3, b'a', b'.', b'b']);
        let later = client_hello(TLS_1_2, &[0x002f], None, [0; 32]);
        assert!(later.windows(2).any(|two| two == [0, 13]), "signatures are said from 1.2 on");
    }

    #[test]
    fn replies_are_told_apart() {
        let mut hello = vec![22, 3, 2, 0, 43, 2, 0, 0, 39, 3, 2];
        hello.extend([9; 32]);
        hello.extend([1, 5, 0xc0, 0x13, 0]);
        assert_eq!(reply(&hello), Some(Reply::Takes { version: TLS_1_1, suite: 0xc013 }));
        for end in 0..hello.len() - 1 {
            assert_eq!(reply(&hello[..end]), None, "{end}");
        }
        assert_eq!(reply(&[21, 3, 1, 0, 2, 2, 70]), Some(Reply::Refuses(70)));
        assert_eq!(reply(b"HTTP/1.1 400 Bad Request"), Some(Reply::Other));
        assert_eq!(reply(b"SSH"), Some(Reply::Other));
        assert_eq!(reply(&[22, 3, 1, 0xff, 0xff, 2]), Some(Reply::Other));
    }

    #[test]
    fn each_suite_stands_once() {
        let numbers: std::collections::BTreeSet<u16> = SUITES.iter().map(|(n, ..)| *n).collect();
        assert_eq!(numbers.len(), SUITES.len());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), tls in any::<bool>()) {
            let mut bytes = bytes;
            if tls && bytes.len() > 6 {
                bytes[..6].copy_from_slice(&[22, 3, 3, 0, 60, 2]);
            }
            let _ = reply(&bytes);
        }
    }
}
