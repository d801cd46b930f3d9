//! Words of anybody, made harmless for where they are shown: no link, no mention, no markup comes of a name.

/// Between two signs it keeps them from being read as one thing: WORD JOINER, which has no width.
const JOINER: char = '\u{2060}';

/// On one line, without what cannot be seen: control characters, and those that turn the direction of text.
pub(crate) fn clean(text: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let plain = text.chars().filter(|c| !hidden(*c));
    plain
        .map(|c| if c.is_control() || c == '\u{2028}' || c == '\u{2029}' { ' ' } else { c })
        .collect()
}

/// For programs that make links and mentions of plain text: `@` and what begins an address are taken apart.
pub(crate) fn tame(text: &str) -> String {
    let text = clean(text);
    let mut tamed = String::with_capacity(text.len() + 8);
    let mut rest = text.as_str();
    while let Some(sign) = rest.chars().next() {
        let length = sign.len_utf8();
        tamed.push(sign);
        let next = &rest[length..];
        let starts =
            |prefix: &str| next.get(..prefix.len()).is_some_and(|n| n.eq_ignore_ascii_case(prefix));
        let scheme =
            sign == ':' && (starts("//") || tamed.to_ascii_lowercase().ends_with("mailto:"));
        // `www.` is made a link of without a scheme.
        let bare = sign.eq_ignore_ascii_case(&'w') && starts("ww.");
        if matches!(sign, '@' | '#') || scheme || bare {
            tamed.push(JOINER);
        }
        rest = next;
    }
    tamed
}

/// For Slack's mrkdwn: `&`, `<` and `>` stand for themselves (api.slack.com, "Formatting text for app
/// surfaces", "Escaping text"), so that no `<!channel>`, `<@U1>` or `<https://…|text>` comes of a name; signs
/// of emphasis do nothing.
pub(crate) fn slack(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for sign in tame(text).chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '*' | '_' | '~' | '`' => escaped.extend([JOINER, sign, JOINER]),
            sign => escaped.push(sign),
        }
    }
    escaped
}

/// For the Markdown of Adaptive Cards, and the `<at>` of Teams.
pub(crate) fn teams(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for sign in tame(text).chars() {
        match sign {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '*' | '_' | '[' | ']' | '(' | ')' | '`' | '~' | '|' => {
                escaped.extend(['\\', sign])
            }
            sign => escaped.push(sign),
        }
    }
    escaped
}

/// For HTML.
pub(crate) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for sign in tame(text).chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            sign => escaped.push(sign),
        }
    }
    escaped
}

/// For Jira's wiki markup (version 2 of its API): every sign that begins something is escaped.
pub(crate) fn jira_wiki(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for sign in tame(text).chars() {
        if r"\*_-+^~?{}[]|!#&<>".contains(sign) {
            escaped.push('\\');
        }
        escaped.push(sign);
    }
    escaped
}

/// For fields that a provider may show as HTML (Opsgenie's description, ServiceNow's notes between `[code]`).
pub(crate) fn plain(text: &str) -> String {
    let signs = tame(text);
    let mut escaped = String::with_capacity(signs.len());
    for sign in signs.chars() {
        match sign {
            '<' => escaped.push('‹'),
            '>' => escaped.push('›'),
            '[' => escaped.extend(['[', JOINER]),
            sign => escaped.push(sign),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names that want to be more than names.
    pub(crate) const HOSTILE: [&str; 9] = [
        "<!channel> <!here|x> <@U012AB3CD>",
        "@here @everyone",
        "<https://evil.example|click>",
        "https://evil.example/x www.evil.example mailto:a@b",
        "[click](https://evil.example) ![x](https://evil.example/p.png)",
        "<script>alert(1)</script><img src=x onerror=alert(1)>",
        "[~admin] {color:red}x{color} [x|https://evil.example] !https://evil.example/p.png!",
        "[code]<a href='https://evil.example'>x</a>[/code]",
        "a\r\nBcc: evil@evil.example\r\n\r\nbody \u{202e}txet",
    ];

    fn harmless(text: &str) -> bool {
        let lower = text.to_ascii_lowercase();
        !lower.contains("://")
            && !lower.contains("www.")
            && !lower.contains("mailto:a")
            && !lower.contains("@h")
            && !lower.contains("@e")
            && !lower.contains("@b")
            && !text.chars().any(char::is_control)
            && !text.contains('\u{202e}')
    }

    #[test]
    fn no_link_and_no_mention_comes_of_a_name() {
        for name in HOSTILE {
            for (way, text) in [
                ("tame", tame(name)),
                ("slack", slack(name)),
                ("teams", teams(name)),
                ("html", html(name)),
                ("jira", jira_wiki(name)),
                ("plain", plain(name)),
            ] {
                assert!(harmless(&text), "{way}: {text}");
            }
            let text = slack(name);
            assert!(!text.contains('<') && !text.contains('>'), "{text}");
            let text = html(name);
            assert!(!text.contains('<') && !text.contains('"') && !text.contains('\''), "{text}");
            assert!(!plain(name).contains("[code]") && !plain(name).contains('<'));
            assert!(!teams(name).contains("](") && !teams(name).contains("<at>"));
            let wiki = jira_wiki(name);
            let begins =
                wiki.match_indices(['[', '{', '!']).all(|(at, _)| wiki[..at].ends_with('\\'));
            assert!(begins, "{wiki}");
        }
        assert_eq!(slack("a & b < c"), "a &amp; b &lt; c");
        assert_eq!(html("tcp 192.0.2.7:443 is down"), "tcp 192.0.2.7:443 is down");
    }

    proptest! {
        #[test]
        fn nothing_that_is_seen_is_lost(name in "\\PC{0,40}") {
            let shown = |text: &str| clean(text).replace(JOINER, "");
            prop_assert_eq!(shown(&tame(&name)), shown(&name));
        }

        #[test]
        fn any_name_is_harmless_to_slack_and_mail(name in any::<String>()) {
            prop_assert!(!slack(&name).contains(['<', '>']));
            prop_assert!(!html(&name).contains(['<', '>', '"', '\'']));
            prop_assert!(!tame(&name).contains("://"));
        }
    }
}
