//! OpenSLO v1, read strictly: a field that is not evaluated here is refused with its path, line and column,
//! because an objective that is understood in part is another objective.
//!
//! Fields, durations and what each method of budgeting needs follow the OpenSLO specification, version
//! `openslo/v1`, sections *SLO*, *SLI*, *Service* and *DataSource*.

mod indicator;
mod objective;

use std::collections::BTreeMap;

use holm_model::Millis;

use crate::definition::{Definition, Indicator};
use holm_policy::{Fields, Mark, Node, Problems, Refused, Value, read, text_of};

/// Most objects of a file, and most values of a label.
const MAX_OBJECTS: usize = 2_000;
const MAX_LABELS: usize = 32;
/// Longest texts, in bytes.
const MAX_NAME: usize = 63;
const MAX_TEXT: usize = 1_050;

/// The SLOs of a file of YAML or JSON, in its order. Indicators, services and data sources are found by their
/// name in the same file. `now` matters only for calendars: how their zone's clock goes in the time that comes.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(text: &str, now: Millis) -> Result<Vec<Definition>, Refused> {
    let documents = read(text).map_err(|problem| Refused(vec![problem]))?;
    let mut problems = Problems::default();
    let objects = holm_policy::documents(&documents);
    if objects.len() > MAX_OBJECTS {
        problems.add("", Mark::START, format!("it has more than {MAX_OBJECTS} objects"));
        return Err(Refused(problems.take()));
    }
    let mut file = File::default();
    let mut slos = Vec::new();
    let found = objects.into_iter().filter_map(|(path, node)| object(node, &path, &mut problems));
    let mut found: Vec<Object<'_>> = found.collect();
    // What is referred to may stand after what refers to it.
    found.sort_by_key(|object| object.kind != "DataSource");
    for object in found {
        file.sort(object, &mut slos, &mut problems);
    }
    if slos.is_empty() && problems.is_empty() {
        problems.add("", Mark::START, "it has no object of kind SLO");
    }
    let mut found: Vec<Definition> = Vec::new();
    for slo in slos {
        let (path, mark) = (slo.path.clone(), slo.mark);
        if let Some(definition) = file.slo(slo, now, &mut problems) {
            if found.iter().any(|known| known.name == definition.name) {
                let text = format!("there are two SLOs of the name {}", definition.name);
                problems.add(&path, mark, text);
            }
            found.push(definition);
        }
    }
    if problems.is_empty() { Ok(found) } else { Err(Refused(problems.take())) }
}

/// An object of a file, with what all of them have.
struct Object<'a> {
    path: String,
    mark: Mark,
    kind: &'a str,
    kind_mark: Mark,
    meta: Meta,
    spec: Fields<'a>,
}

#[derive(Debug, Clone, Default)]
struct Meta {
    name: Box<str>,
    display_name: Option<Box<str>>,
    labels: BTreeMap<Box<str>, Vec<Box<str>>>,
}

fn object<'a>(node: &'a Node, path: &str, problems: &mut Problems) -> Option<Object<'a>> {
    let mut fields = Fields::of(node, path, problems)?;
    let version = fields.needed_text("apiVersion", 100, problems);
    if let Some((version, mark)) = version
        && version != "openslo/v1"
    {
        let text = format!("{version} is not read: openslo/v1 is");
        problems.add(&fields.at("apiVersion"), mark, text);
        return None;
    }
    let (kind, kind_mark) = fields.needed_text("kind", 100, problems)?;
    let known = ["SLO", "SLI", "Service", "DataSource"];
    if !known.contains(&kind) {
        let text = match kind {
            "AlertPolicy" | "AlertCondition" | "AlertNotificationTarget" => format!(
                "{kind} is not evaluated here: burn rates of fixed windows are judged and become incidents"
            ),
            _ => format!("{kind} is no kind of openslo/v1"),
        };
        problems.add(&fields.at("kind"), kind_mark, text);
        return None;
    }
    let mut metadata = fields.needed_map("metadata", problems)?;
    let meta = meta(&mut metadata, true, problems);
    metadata.finish(&[], problems);
    let spec = fields.needed_map("spec", problems);
    let (path, mark) = (fields.path.clone(), fields.mark);
    fields.finish(&[], problems);
    Some(Object { path, mark, kind, kind_mark, meta: meta?, spec: spec? })
}

/// Name, display name and labels. Annotations are for other tools by their definition: they are let pass.
fn meta(fields: &mut Fields<'_>, needs_name: bool, problems: &mut Problems) -> Option<Meta> {
    let name = match needs_name {
        true => fields.needed_text("name", MAX_NAME, problems),
        false => fields.text("name", MAX_NAME, problems),
    };
    let name = name.filter(|(name, mark)| {
        let right = is_name(name);
        if !right {
            let text = "a name has small letters, digits and -, and neither begins nor ends with -";
            problems.add(&fields.at("name"), *mark, text);
        }
        right
    });
    let display_name = fields.text("displayName", MAX_NAME, problems).map(|(text, _)| text.into());
    let _ = fields.node("annotations");
    let mut labels: BTreeMap<Box<str>, Vec<Box<str>>> = BTreeMap::new();
    if let Some((node, _)) = fields.node("labels") {
        let at = fields.at("labels");
        match &node.value {
            Value::Map(pairs) if pairs.len() <= MAX_LABELS => {
                for (key, _, value) in pairs {
                    let path = format!("{at}.{key}");
                    let values: Vec<&Node> = match &value.value {
                        Value::List(items) if items.len() > MAX_LABELS => {
                            let text = format!(
                                "it has {} values, and the most are {MAX_LABELS}",
                                items.len()
                            );
                            problems.add(&path, value.mark, text);
                            continue;
                        }
                        Value::List(items) => items.iter().collect(),
                        _ => vec![value],
                    };
                    let texts =
                        values.iter().filter_map(|value| text_of(value, &path, 200, problems));
                    labels.insert(key.as_str().into(), texts.map(Into::into).collect());
                }
            }
            _ => problems.add(
                &at,
                node.mark,
                format!("a map of at most {MAX_LABELS} labels is wanted"),
            ),
        }
    }
    let name = match name {
        Some((name, _)) => name.into(),
        None if needs_name => return None,
        None => Box::default(),
    };
    Some(Meta { name, display_name, labels })
}

/// RFC 1123 label names, as OpenSLO wants them (section *General Schema*).
fn is_name(text: &str) -> bool {
    let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    !text.is_empty() && text.bytes().all(letters) && !text.starts_with('-') && !text.ends_with('-')
}

/// What a file has beside its SLOs.
#[derive(Default)]
struct File {
    indicators: BTreeMap<Box<str>, Option<Indicator>>,
    services: BTreeMap<Box<str>, Meta>,
    sources: BTreeMap<Box<str>, ()>,
}

impl File {
    /// Takes what SLOs may refer to; the SLOs are for later.
    fn sort<'a>(
        &mut self,
        mut object: Object<'a>,
        slos: &mut Vec<Object<'a>>,
        problems: &mut Problems,
    ) {
        let name = object.meta.name.clone();
        let twice = match object.kind {
            "SLI" => {
                let _ = object.spec.text("description", MAX_TEXT, problems);
                let indicator = indicator::of(&mut object.spec, &self.sources, problems);
                object.spec.finish(&[], problems);
                self.indicators.insert(name.clone(), indicator).is_some()
            }
            "Service" => {
                let _ = object.spec.text("description", MAX_TEXT, problems);
                object.spec.finish(&[], problems);
                self.services.insert(name.clone(), object.meta).is_some()
            }
            "DataSource" => {
                let _ = object.spec.text("description", MAX_TEXT, problems);
                let at = object.spec.at("type");
                if let Some((kind, mark)) = object.spec.needed_text("type", 100, problems)
                    && kind != indicator::SOURCE_TYPE
                {
                    problems.add(&at, mark, format!("{kind} is not asked: holm is"));
                }
                object.spec.finish(&[], problems);
                self.sources.insert(name.clone(), ()).is_some()
            }
            _ => {
                slos.push(object);
                return;
            }
        };
        if twice {
            let text = format!("there are two objects of kind {} and name {name}", object.kind);
            problems.add(&object.path, object.kind_mark, text);
        }
    }

    fn slo(&self, slo: Object<'_>, now: Millis, problems: &mut Problems) -> Option<Definition> {
        let Object { meta, mut spec, .. } = slo;
        let description = spec.text("description", MAX_TEXT, problems).map(|(text, _)| text.into());
        let service = spec.needed_text("service", MAX_NAME, problems);
        let indicator = self.indicator(&mut spec, problems);
        let window = objective::window(&mut spec, now, problems);
        let budgeting = objective::budgeting(&mut spec, problems);
        let objectives = match (&budgeting, &indicator) {
            (Some(budgeting), Some((_, indicator))) => {
                objective::all(&mut spec, *budgeting, indicator, problems)
            }
            _ => {
                let _ = spec.node("objectives");
                None
            }
        };
        if let Some((items, mark)) = spec.list("alertPolicies", problems)
            && !items.is_empty()
        {
            let text = "alert policies are not evaluated here: burn rates of fixed windows are judged and become incidents";
            problems.add(&spec.at("alertPolicies"), mark, text);
        }
        spec.finish(&[], problems);
        let (indicator_name, indicator) = indicator?;
        let (window, grain_min) = window?;
        let (service, _) = service?;
        let mut labels = meta.labels;
        for (key, values) in self.services.get(service).into_iter().flat_map(|s| &s.labels) {
            labels.entry(key.clone()).or_insert_with(|| values.clone());
        }
        Some(Definition {
            name: meta.name,
            display_name: meta.display_name,
            description,
            service: service.into(),
            labels,
            indicator_name,
            indicator,
            budgeting: budgeting?,
            window,
            objectives: objectives?,
            grain_min,
        })
    }

    /// The indicator, here or by its name.
    fn indicator(
        &self,
        spec: &mut Fields<'_>,
        problems: &mut Problems,
    ) -> Option<(Box<str>, Indicator)> {
        let named = spec.text("indicatorRef", MAX_NAME, problems);
        let here = spec.map("indicator", problems);
        match (here, named) {
            (Some(mut here), None) => {
                let mut metadata = here.needed_map("metadata", problems)?;
                let meta = meta(&mut metadata, true, problems);
                metadata.finish(&[], problems);
                let mut inner = here.needed_map("spec", problems)?;
                let _ = inner.text("description", MAX_TEXT, problems);
                let indicator = indicator::of(&mut inner, &self.sources, problems);
                inner.finish(&[], problems);
                here.finish(&[], problems);
                Some((meta?.name, indicator?))
            }
            (None, Some((name, mark))) => match self.indicators.get(name) {
                Some(indicator) => Some((name.into(), indicator.clone()?)),
                None => {
                    let text = format!("there is no SLI of the name {name} in this file");
                    problems.add(&spec.at("indicatorRef"), mark, text);
                    None
                }
            },
            (None, None) => {
                problems.add(&spec.at("indicator"), spec.mark, "it is missing");
                None
            }
            (Some(_), Some((_, mark))) => {
                let text = "either indicator or indicatorRef stands here, not both";
                problems.add(&spec.at("indicatorRef"), mark, text);
                None
            }
        }
    }
}
