//! Cookies within one run (RFC 6265 §5.3, §5.4): what a server sets is sent back to it, until the run ends.

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::place::Place;

/// Most cookies of a run, and the longest one, in bytes (RFC 6265 §6.1).
const MAX_COOKIES: usize = 50;
const MAX_COOKIE: usize = 4_096;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Cookie {
    name: String,
    value: String,
    /// The host that set it, or the domain that it is for.
    domain: String,
    host_only: bool,
    path: String,
    secure: bool,
}

/// All cookies of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jar {
    cookies: Vec<Cookie>,
    /// Cookies that were not kept: too many, too long, or of another's domain.
    pub(crate) left_out: u32,
}

impl Jar {
    /// Keeps what an answer of `place` sets.
    pub(super) fn keep(&mut self, place: &Place, headers: &HeaderMap) {
        for value in headers.get_all(SET_COOKIE) {
            let Some((cookie, gone)) = parse(value.as_bytes(), place) else {
                self.left_out += 1;
                continue;
            };
            self.cookies.retain(|known| {
                (&known.name, &known.domain, &known.path)
                    != (&cookie.name, &cookie.domain, &cookie.path)
            });
            match gone {
                true => {}
                false if self.cookies.len() == MAX_COOKIES => self.left_out += 1,
                false => self.cookies.push(cookie),
            }
        }
    }

    /// What is sent to `place`.
    pub(super) fn header(&self, place: &Place) -> Option<HeaderValue> {
        let host = place.bare_host().to_ascii_lowercase();
        let path = place.uri.path();
        let mut fitting: Vec<&Cookie> = self
            .cookies
            .iter()
            .filter(|cookie| match cookie.host_only {
                true => host == cookie.domain,
                false => is_in(&host, &cookie.domain),
            })
            .filter(|cookie| (!cookie.secure || place.tls) && is_below(path, &cookie.path))
            .collect();
        // §5.4: longer paths first; the order in which they came otherwise.
        fitting.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs: Vec<String> =
            fitting.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let mut value = HeaderValue::from_str(&pairs.join("; ")).ok()?;
        value.set_sensitive(true);
        (!pairs.is_empty()).then_some(value)
    }
}

/// A cookie, and whether it is to be forgotten.
fn parse(value: &[u8], place: &Place) -> Option<(Cookie, bool)> {
    let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX_COOKIE)?;
    let mut parts = text.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || HeaderValue::from_str(name).is_err() {
        return None;
    }
    let host = place.bare_host().to_ascii_lowercase();
    let mut cookie = Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
        domain: host.clone(),
        host_only: true,
        path: default_path(place.uri.path()),
        secure: false,
    };
    let mut gone = false;
    for part in parts {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "domain" => {
                let domain = value.trim_start_matches('.').to_ascii_lowercase();
                if domain.is_empty() || domain == host {
                    continue;
                }
                // A domain of one label is everybody's; an address has none below it.
                if !domain.contains('.') || !is_in(&host, &domain) {
                    return None;
                }
                (cookie.domain, cookie.host_only) = (domain, false);
            }
            "path" if value.starts_with('/') => value.clone_into(&mut cookie.path),
            "secure" => cookie.secure = true,
            "max-age" => gone = value.parse::<i64>().is_ok_and(|seconds| seconds <= 0),
            _ => {}
        }
    }
    Some((cookie, gone))
}

/// §5.1.3.
fn is_in(host: &str, domain: &str) -> bool {
    let below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    host == domain || (host.parse::<std::net::IpAddr>().is_err() && below())
}

/// §5.1.4.
fn is_below(path: &str, of: &str) -> bool {
    let after = path.strip_prefix(of);
    after.is_some_and(|rest| rest.is_empty() || of.ends_with('/') || rest.starts_with('/'))
}

fn default_path(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder.to_owned(),
        _ => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(set: &[(&str, &str)], to: &str) -> Option<String> {
        let mut jar = Jar::default();
        for (from, cookie) in set {
            let mut headers = HeaderMap::new();
            headers.append(SET_COOKIE, cookie.parse().expect("valid"));
            jar.keep(&Place::parse(from).expect("valid"), &headers);
        }
        let header = jar.header(&Place::parse(to).expect("valid"));
        header.map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn cookies_go_back_to_who_set_them_and_to_nobody_else() {
        let https = "https://shop.example/a/b";
        for (cookie, to, wanted) in [
            ("s=1", "https://shop.example/a/x", Some("s=1")),
            ("s=1; Path=/; HttpOnly", "http://shop.example/", Some("s=1")),
            ("s=1", "https://shop.example/", None),
            ("s=1; Path=/a", "https://shop.example/ab", None),
            ("s=1; path=/", "https://www.shop.example/", None),
            ("s=1; Path=/; Domain=shop.example", "https://www.shop.example/", None),
            ("s=1; Path=/; Secure", "http://shop.example/", None),
            ("s=1; Path=/; Domain=example", "https://shop.example/", None),
            ("s=1; Path=/; Domain=other.example", "https://shop.example/", None),
            ("nothing", "https://shop.example/a/b", None),
            ("=x", "https://shop.example/a/b", None),
        ] {
            assert_eq!(sent(&[(https, cookie)], to).as_deref(), wanted, "{cookie} {to}");
        }
        let www = "https://www.shop.example/";
        let for_all = [(www, "s=1; Domain=.shop.example")];
        assert_eq!(sent(&for_all, "https://api.shop.example/x").as_deref(), Some("s=1"));
        assert_eq!(sent(&for_all, "https://notshop.example/"), None);
        let twice = [
            (www, "s=1"),
            (www, "s=2"),
            (www, "t=3; Path=/a"),
            (www, "u=4"),
            (www, "u=; Max-Age=0"),
        ];
        assert_eq!(sent(&twice, "https://www.shop.example/a").as_deref(), Some("t=3; s=2"));
        let many: Vec<String> = (0..60).map(|n| format!("c{n}=1")).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|cookie| (www, &**cookie)).collect();
        assert_eq!(sent(&many, www).expect("some").split("; ").count(), MAX_COOKIES);
        let long = format!("s={}", "x".repeat(MAX_COOKIE));
        assert_eq!(sent(&[(www, &long)], www), None);
    }

    proptest::proptest! {
        #[test]
        fn no_cookie_panics(cookie in "[ -~\t;=]{0,60}", path in "[a-z/]{0,10}") {
            let at = format!("https://www.shop.example/{path}");
            if let Some(header) = sent(&[(&at, cookie.trim())], &at) {
                proptest::prop_assert!(header.contains('='));
            }
        }
    }
}
