//! Where a request goes, and where an answer sends it on to.

use http::Uri;

/// Longest address that an answer may send a request on to, in bytes.
const MAX_LOCATION: usize = 2_048;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) uri: Uri,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: bool,
}

impl Place {
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let refuse = || {
            format!(
                "target \"{url}\": it is a URL of the form http://host/path or https://host/path"
            )
        };
        let uri: Uri = url.parse().map_err(|_| refuse())?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(refuse()),
        };
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(
                "target: a URL with a user or password would show them in every result".into()
            );
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(refuse)?.to_owned();
        let default = if tls { 443 } else { 80 };
        // `port_u16` is `None` both without a port and with one that is none, such as 99999.
        let after = uri.authority().map_or("", |a| a.as_str().strip_prefix(&host).unwrap_or(""));
        let port = match after.strip_prefix(':').unwrap_or(after) {
            "" => default,
            port => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                format!("target \"{url}\": {port} is not a port, which goes from 1 to 65535")
            })?,
        };
        Ok(Self { uri, host, port, tls })
    }

    /// Whether it is asked over TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls
    }

    /// The host without the brackets of an address.
    pub(super) fn bare_host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// What stands in front of the path: the host, with the port where one was said.
    pub(super) fn authority(&self) -> &str {
        self.uri.authority().map_or(self.host.as_str(), |authority| authority.as_str())
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Whether both are asked in one way: scheme, host and port.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        self.tls == other.tls
            && self.port == other.port
            && self.host.eq_ignore_ascii_case(&other.host)
    }

    /// Where `location` leads from here (RFC 3986 §5.2).
    pub(super) fn join(&self, location: &str) -> Result<Self, String> {
        let shown: String = location.chars().take(200).collect();
        let refuse = |why: String| format!("it leads on to \"{shown}\": {why}");
        if location.len() > MAX_LOCATION {
            return Err(refuse(format!("that is longer than {MAX_LOCATION} bytes")));
        }
        let location = location.split('#').next().unwrap_or_default();
        let scheme = if self.tls { "https" } else { "http" };
        let here = self.uri.path();
        let origin = format!("{scheme}://{}", self.authority());
        let is_absolute = location.split_once(':').is_some_and(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        });
        let url = if is_absolute {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('?') {
            format!("{origin}{here}{location}")
        } else if location.is_empty() {
            format!("{origin}{}", self.path())
        } else {
            let (path, query) = location.split_once('?').unwrap_or((location, ""));
            let folder = here.rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = match path.starts_with('/') {
                true => without_dots(path),
                false => without_dots(&format!("{folder}/{path}")),
            };
            let mark = if location.contains('?') { "?" } else { "" };
            format!("{origin}{path}{mark}{query}")
        };
        Self::parse(&url).map_err(|why| {
            let why = why.strip_prefix("target").unwrap_or(&why);
            refuse(why.trim_start_matches([':', ' ']).to_owned())
        })
    }
}

/// A path without its dot segments (RFC 3986 §5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let last = segments.len().saturating_sub(1);
    for (number, segment) in segments.into_iter().enumerate() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if number == last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_none_is_refused_and_none_is_the_schemes() {
        for (url, port) in [
            ("http://a.example", 80),
            ("https://a.example/x:7", 443),
            ("https://[2001:db8::1]/", 443),
            ("http://[2001:db8::1]:8080/", 8_080),
            ("http://a.example:65535?x", 65_535),
        ] {
            assert_eq!(Place::parse(url).map(|place| place.port), Ok(port), "{url}");
        }
        for bad in ["http://a.example:99999/", "https://[::1]:0/", "http://a.example:8o/"] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn where_an_answer_leads_is_as_rfc_3986_says() {
        let from = Place::parse("http://a/b/c/d?q").expect("valid");
        for (location, url) in [
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g/"),
            ("?y", "http://a/b/c/d?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("g#s", "http://a/b/c/g"),
            ("", "http://a/b/c/d?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("/../g", "http://a/g"),
            ("g;x=1/../y", "http://a/b/c/y"),
            ("https://b.example:8443/x?z", "https://b.example:8443/x?z"),
        ] {
            let found = from.join(location).expect(location);
            assert_eq!(found.uri, url.parse::<Uri>().expect(url), "{location}");
        }
        for bad in ["ftp://a/", "javascript:alert(1)", "http://u:p@a/", "http://", "//a:0/", "a b"]
        {
            let why = from.join(bad).expect_err(bad);
            assert!(why.contains("it leads on to"), "{why}");
        }
        assert!(from.join(&"x".repeat(3_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_location_panics(location in ".{0,80}") {
            let from = Place::parse("https://[2001:db8::1]:8443/a/b?q").expect("valid");
            if let Ok(found) = from.join(&location) {
                proptest::prop_assert!(found.port > 0 && !found.host.is_empty());
            }
        }
    }
}
