//! An SLO as OpenSLO writes it: what [`crate::parse`] reads as the same SLO.

use serde_json::{Map, Value, json};

use crate::definition::{Definition, Indicator, Objective, Source};
use crate::window::{DAY_MS, HOUR_MS, MINUTE_MS, Step, Window};
use holm_policy::Operator;

impl Definition {
    /// The SLO as an object of OpenSLO v1, with its indicator in it.
    pub fn to_openslo(&self) -> Value {
        let mut metadata = Map::new();
        metadata.insert("name".into(), json!(self.name));
        if let Some(name) = &self.display_name {
            metadata.insert("displayName".into(), json!(name));
        }
        if !self.labels.is_empty() {
            metadata.insert("labels".into(), json!(self.labels));
        }
        let mut spec = Map::new();
        if let Some(description) = &self.description {
            spec.insert("description".into(), json!(description));
        }
        spec.insert("service".into(), json!(self.service));
        let indicator = json!({
            "metadata": { "name": self.indicator_name },
            "spec": indicator(&self.indicator)
        });
        spec.insert("indicator".into(), indicator);
        spec.insert("timeWindow".into(), json!([window(&self.window)]));
        spec.insert("budgetingMethod".into(), json!(self.budgeting.as_str()));
        let objectives: Vec<Value> = self.objectives.iter().map(objective).collect();
        spec.insert("objectives".into(), json!(objectives));
        json!({ "apiVersion": "openslo/v1", "kind": "SLO", "metadata": metadata, "spec": spec })
    }
}

fn indicator(indicator: &Indicator) -> Value {
    match indicator {
        Indicator::Ratio { bad, part, total } => {
            let part_name = if *bad { "bad" } else { "good" };
            json!({ "ratioMetric": { part_name: metric(part), "total": metric(total) } })
        }
        Indicator::Raw { failure, source } => {
            let raw_type = if *failure { "failure" } else { "success" };
            json!({ "ratioMetric": { "rawType": raw_type, "raw": metric(source) } })
        }
        Indicator::Threshold(source) => json!({ "thresholdMetric": metric(source) }),
    }
}

fn metric(source: &Source) -> Value {
    let mut spec = Map::new();
    spec.insert("table".into(), json!(source.table));
    if let Some((text, _)) = &source.filter {
        spec.insert("where".into(), json!(text));
    }
    if let Some(value) = &source.value {
        spec.insert("value".into(), json!(value));
    }
    json!({ "metricSource": { "type": "holm", "spec": spec } })
}

fn window(window: &Window) -> Value {
    match window {
        Window::Rolling { length_ms } => {
            let units = [(DAY_MS, 'd'), (HOUR_MS, 'h'), (MINUTE_MS, 'm')];
            let (unit, letter) = units
                .into_iter()
                .find(|(unit, _)| length_ms.is_multiple_of(*unit))
                .unwrap_or((MINUTE_MS, 'm'));
            json!({ "duration": format!("{}{letter}", length_ms / unit), "isRolling": true })
        }
        Window::Calendar(calendar) => {
            let duration = match calendar.step {
                Step::Days(days) => format!("{days}d"),
                Step::Months(months) => format!("{months}M"),
            };
            json!({
                "duration": duration,
                "isRolling": false,
                "calendar": {
                    "startTime": calendar.start.to_string(),
                    "timeZone": calendar.zone.name()
                }
            })
        }
    }
}

fn objective(objective: &Objective) -> Value {
    let mut said = Map::new();
    if let Some(name) = &objective.display_name {
        said.insert("displayName".into(), json!(name));
    }
    if let Some((operator, value)) = objective.compare {
        let operator = match operator {
            Operator::Less => "lt",
            Operator::LessOrEqual => "lte",
            Operator::Greater => "gt",
            // A file names these four alone.
            _ => "gte",
        };
        said.insert("op".into(), json!(operator));
        said.insert("value".into(), json!(value));
    }
    said.insert("target".into(), json!(objective.target));
    if let Some(share) = objective.slice_target {
        said.insert("timeSliceTarget".into(), json!(share));
    }
    if let Some(minutes) = objective.slice_min {
        said.insert("timeSliceWindow".into(), json!(format!("{minutes}m")));
    }
    Value::Object(said)
}
