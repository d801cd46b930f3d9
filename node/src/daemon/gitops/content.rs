//! What files of a folder say: alert rules, objectives or tests.

use holm_active::Test;
use holm_alert::Rule;
use holm_model::Millis;
use holm_policy::{Refused, Value};
use holm_slo::Definition;

use super::{RULES, SLOS, TESTS};

/// What a file says.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Rules(Vec<Rule>),
    Slos(Vec<Definition>),
    Tests(Vec<Test>),
}

impl Content {
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Rules(rules) => {
                rules.iter().map(|rule| format!("{RULES}/{}", rule.name)).collect()
            }
            Self::Slos(slos) => slos.iter().map(|slo| format!("{SLOS}/{}", slo.name)).collect(),
            Self::Tests(tests) => {
                tests.iter().map(|test| format!("{TESTS}/{}", test.name)).collect()
            }
        }
    }

    /// Those of its policies that are `wanted`, each as `area/name`.
    pub(super) fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let of = |area: &str, name: &str| wanted(&format!("{area}/{name}"));
        match self {
            Self::Rules(rules) => {
                Self::Rules(rules.iter().filter(|rule| of(RULES, &rule.name)).cloned().collect())
            }
            Self::Slos(slos) => {
                Self::Slos(slos.iter().filter(|slo| of(SLOS, &slo.name)).cloned().collect())
            }
            Self::Tests(tests) => {
                Self::Tests(tests.iter().filter(|test| of(TESTS, &test.name)).cloned().collect())
            }
        }
    }
}

/// What a text names that is refused, each as `area/name`: nothing where it cannot be read at all.
pub(super) fn named(text: &str) -> Vec<String> {
    let nodes = holm_policy::read(text).unwrap_or_default();
    let field = |value: &Value, wanted: &str| match value {
        Value::Map(pairs) => {
            let found = pairs.iter().find(|(key, ..)| key == wanted);
            found.map(|(_, _, node)| node.value.clone())
        }
        _ => None,
    };
    let text_of = |value: Option<Value>| match value {
        Some(Value::Scalar(text, _)) => Some(text),
        _ => None,
    };
    let names = holm_policy::documents(&nodes).into_iter().filter_map(|(_, node)| {
        let kind = text_of(field(&node.value, "kind"))?;
        let (area, name) = match &*kind {
            holm_alert::KIND => (RULES, field(&node.value, "name")),
            holm_active::KIND => (TESTS, field(&node.value, "name")),
            "SLO" => (SLOS, field(&field(&node.value, "metadata")?, "name")),
            _ => return None,
        };
        Some(format!("{area}/{}", text_of(name)?))
    });
    names.collect()
}

/// What a text says.
pub(super) fn read(text: &str, now: Millis) -> Result<Content, Refused> {
    let nodes = holm_policy::read(text).map_err(|problem| Refused(vec![problem]))?;
    let objects = holm_policy::documents(&nodes);
    let is = |value: &Value, wanted: &str| match value {
        Value::Map(pairs) => pairs.iter().any(|(key, _, node)| {
            key == "kind" && matches!(&node.value, Value::Scalar(kind, _) if kind == wanted)
        }),
        _ => false,
    };
    let any = |wanted: &str| objects.iter().any(|(_, node)| is(&node.value, wanted));
    if objects.is_empty() {
        // A file that somebody emptied.
        return Ok(Content::Rules(Vec::new()));
    }
    if any(holm_alert::KIND) {
        return holm_alert::parse(text).map(Content::Rules);
    }
    match any(holm_active::KIND) {
        true => holm_active::parse(text).map(Content::Tests),
        false => holm_slo::parse(text, now).map(Content::Slos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_by_what_is_in_them() {
        let rule = "kind: AlertRule\nname: a\ntable: t\nvalue: count\ncondition: { above: 1 }\n";
        assert!(matches!(read(rule, Millis(0)), Ok(Content::Rules(rules)) if rules.len() == 1));
        let bad = format!("{rule}wrong: 1\n");
        let refused = read(&bad, Millis(0)).expect_err("refused");
        assert_eq!((refused.0[0].mark.line, refused.0[0].mark.column), (6, 1));
        let test = "kind: Test\nname: a\nprobe: icmp\ntarget: x\ninterval: 10s\n";
        assert!(matches!(read(test, Millis(0)), Ok(Content::Tests(tests)) if tests.len() == 1));
        let slo = "apiVersion: openslo/v1\nkind: SLO\n";
        let refused = read(slo, Millis(0)).expect_err("refused").to_string();
        assert!(refused.contains("metadata"), "{refused}");
        assert!(
            matches!(read("# nothing\n", Millis(0)), Ok(Content::Rules(rules)) if rules.is_empty())
        );
    }

    #[test]
    fn what_is_refused_names_what_it_is_of() {
        let rule = "kind: AlertRule\nname: lost\ntable: t\nbogus: 1\n";
        let test = "kind: Test\nname: ping\nbogus: 1\n";
        let slo = "apiVersion: openslo/v1\nkind: SLO\nmetadata: { name: shop }\n";
        let text =
            format!("{rule}---\n{test}---\n{slo}---\nkind: Other\nname: x\n---\nkind: Test\n");
        let key = |area: &str, name: &str| format!("{area}/{name}");
        let names = [key(RULES, "lost"), key(TESTS, "ping"), key(SLOS, "shop")];
        assert_eq!(named(&text), names);
        assert_eq!(named("[{ kind: AlertRule, name: lost }, 7]"), names[..1]);
        assert_eq!(named("kind: [AlertRule"), Vec::<String>::new());
    }
}
