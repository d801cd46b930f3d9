//! A rule as an object of a file.

use serde_json::{Map, Value, json};

use crate::parse::{KIND, length};
use crate::rule::{Condition, Measure, Rule, Subject};

impl Rule {
    /// The object that it is: what [`crate::parse()`] reads, and what is kept.
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| {
            object.insert(key.to_owned(), value);
        };
        put("kind", json!(KIND));
        put("name", json!(self.name));
        if let Some(title) = &self.title {
            put("title", json!(title));
        }
        if let Some(description) = &self.description {
            put("description", json!(description));
        }
        put("severity", json!(self.severity.as_str()));
        if !self.labels.is_empty() {
            put("labels", json!(self.labels));
        }
        match &self.subject {
            Subject::Rows(query) => {
                put("table", json!(query.table));
                if let Some((text, _)) = &query.filter {
                    put("where", json!(text));
                }
                let no_data = query.condition == Condition::NoData;
                if !no_data {
                    put("value", value(&query.measure));
                    put("window", json!(length(query.window_ms)));
                }
                put("condition", condition(&query.condition, query.window_ms));
            }
            Subject::Composite(composite) => {
                let lists =
                    [("all", &composite.all), ("any", &composite.any), ("none", &composite.none)];
                let lists = lists.into_iter().filter(|(_, names)| !names.is_empty());
                let map: Map<String, Value> =
                    lists.map(|(key, names)| (key.to_owned(), json!(names))).collect();
                put("composite", Value::Object(map));
            }
        }
        if !self.by.is_empty() {
            put("by", json!(self.by));
        }
        put("every", json!(length(self.every_ms)));
        if self.for_ms > 0 {
            put("for", json!(length(self.for_ms)));
        }
        if self.keep_ms > 0 {
            put("keep", json!(length(self.keep_ms)));
        }
        if let Some(target) = &self.target {
            put("target", json!(target));
        }
        if !self.inhibited_by.is_empty() {
            let all = self.inhibited_by.iter().map(|inhibitor| match inhibitor.equal.as_slice() {
                [] => json!({ "rule": inhibitor.rule }),
                equal => json!({ "rule": inhibitor.rule, "equal": equal }),
            });
            put("inhibited_by", all.collect());
        }
        Value::Object(object)
    }
}

fn value(measure: &Measure) -> Value {
    match measure {
        Measure::Count | Measure::Rate => json!(measure.as_str()),
        Measure::Share(text, _) => json!({ "share": text }),
        Measure::Quantile(q, of) => json!({ "quantile": q, "of": of }),
        Measure::Sum(of) | Measure::Avg(of) | Measure::Min(of) | Measure::Max(of) => {
            json!({ measure.as_str(): of })
        }
    }
}

fn condition(condition: &Condition, window_ms: u64) -> Value {
    match condition {
        Condition::Above(limit) => json!({ "above": limit }),
        Condition::Below(limit) => json!({ "below": limit }),
        Condition::Outside(low, high) => json!({ "outside": [low, high] }),
        Condition::NoData => json!({ "no_data": length(window_ms) }),
        Condition::Baseline { season, deviations, direction } => json!({ "baseline": {
            "season": season.as_str(), "deviations": deviations, "direction": direction.as_str()
        } }),
    }
}
