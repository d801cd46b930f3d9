//! How a topology is written: JSON, GraphML (graphdrawing.org) and DOT (graphviz.org).

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::attribute_view::AttributeView;
use super::topology_types::{CoverageView, EdgeView, FreshnessView, NodeView};
use super::types::Timestamp;

/// A format of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// JSON, as `/v1/topology` writes nodes and edges.
    Json,
    /// GraphML, which graph libraries and editors read.
    Graphml,
    /// DOT, which Graphviz draws.
    Dot,
}

impl Format {
    /// The format as it is asked for.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Graphml => "graphml",
            Self::Dot => "dot",
        }
    }

    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Graphml => "application/graphml+xml",
            Self::Dot => "text/vnd.graphviz",
        }
    }
}

/// What an export says of itself.
#[derive(Debug, Serialize)]
pub(super) struct Meta {
    pub(super) at: Timestamp,
    pub(super) live: bool,
    pub(super) coverage: CoverageView,
    pub(super) freshness: FreshnessView,
}

/// Writes a topology part by part, nodes first.
pub(super) trait Writes {
    fn begin(&mut self, out: &mut String);
    fn node(&mut self, out: &mut String, node: &NodeView);
    fn edge(&mut self, out: &mut String, edge: &EdgeView);
    fn end(&mut self, out: &mut String);
}

/// What is missing or not live, as one line each.
fn remarks(meta: &Meta) -> Vec<String> {
    let sites = meta.freshness.sites.iter().map(|site| {
        let as_of = site.as_of.map_or_else(|| "never heard".into(), |at| format!("as of {at}"));
        format!("site {}: {as_of}", site.site)
    });
    meta.coverage.notes.iter().cloned().chain(sites).collect()
}

pub(super) struct Json {
    meta: Meta,
    nodes: u64,
    edges: u64,
}

impl Json {
    pub(super) fn new(meta: Meta) -> Self {
        Self { meta, nodes: 0, edges: 0 }
    }

    fn value(out: &mut String, value: &impl Serialize) {
        // Strings, numbers and maps of strings are always JSON.
        out.push_str(&serde_json::to_string(value).unwrap_or_else(|_| "null".into()));
    }

    fn begin_edges(&self, out: &mut String) {
        if self.edges == 0 {
            out.push_str("],\n\"edges\":[");
        }
    }
}

impl Writes for Json {
    fn begin(&mut self, out: &mut String) {
        Self::value(out, &self.meta);
        out.pop();
        out.push_str(",\n\"nodes\":[");
    }

    fn node(&mut self, out: &mut String, node: &NodeView) {
        out.push_str(if self.nodes == 0 { "\n" } else { ",\n" });
        self.nodes += 1;
        Self::value(out, node);
    }

    fn edge(&mut self, out: &mut String, edge: &EdgeView) {
        self.begin_edges(out);
        out.push_str(if self.edges == 0 { "\n" } else { ",\n" });
        self.edges += 1;
        Self::value(out, edge);
    }

    fn end(&mut self, out: &mut String) {
        self.begin_edges(out);
        out.push_str("]}\n");
    }
}

pub(super) struct GraphMl {
    meta: Meta,
    /// The key of each attribute, and whether all its values are numbers.
    keys: BTreeMap<Box<str>, (String, bool)>,
}

impl GraphMl {
    /// `attributes` by name: whether all values are numbers.
    pub(super) fn new(meta: Meta, attributes: BTreeMap<Box<str>, bool>) -> Self {
        let numbered = attributes.into_iter().zip(0..);
        let keys = numbered.map(|((name, is_number), i)| (name, (format!("a{i}"), is_number)));
        Self { meta, keys: keys.collect() }
    }

    fn data(out: &mut String, key: &str, value: &str) {
        let _ = writeln!(out, "    <data key=\"{key}\">{}</data>", Xml(value));
    }

    fn attributes(&self, out: &mut String, attributes: &BTreeMap<String, AttributeView>) {
        for (name, value) in attributes {
            if let Some((key, _)) = self.keys.get(name.as_str()) {
                Self::data(out, key, &value.to_string());
            }
        }
    }
}

impl Writes for GraphMl {
    fn begin(&mut self, out: &mut String) {
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        out.push_str("<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n");
        for name in ["kind", "label", "sites", "since", "aliases", "provenance"] {
            let _ = writeln!(
                out,
                "  <key id=\"{name}\" for=\"all\" attr.name=\"{name}\" attr.type=\"string\"/>"
            );
        }
        for (name, (key, is_number)) in &self.keys {
            let kind = if *is_number { "double" } else { "string" };
            let _ = writeln!(
                out,
                "  <key id=\"{key}\" for=\"all\" attr.name=\"{}\" attr.type=\"{kind}\"/>",
                Xml(name)
            );
        }
        let _ = writeln!(out, "  <graph id=\"holm\" edgedefault=\"directed\">");
        let told = remarks(&self.meta).join("; ");
        let _ = writeln!(out, "  <desc>at {}; {}</desc>", self.meta.at, Xml(&told));
    }

    fn node(&mut self, out: &mut String, node: &NodeView) {
        let _ = writeln!(out, "  <node id=\"{}\">", Xml(&node.id));
        Self::data(out, "kind", node.kind.as_str());
        Self::data(out, "label", &node.label);
        Self::data(out, "sites", &names(&node.sites));
        Self::data(out, "since", &node.since.to_string());
        if !node.aliases.is_empty() {
            Self::data(out, "aliases", &node.aliases.join(" "));
        }
        self.attributes(out, &node.attributes);
        out.push_str("  </node>\n");
    }

    fn edge(&mut self, out: &mut String, edge: &EdgeView) {
        let (id, from, to) = (Xml(&edge.id), Xml(&edge.from), Xml(&edge.to));
        let _ = writeln!(out, "  <edge id=\"{id}\" source=\"{from}\" target=\"{to}\">");
        Self::data(out, "kind", edge.kind.as_str());
        Self::data(out, "sites", &names(&edge.sites));
        Self::data(out, "since", &edge.since.to_string());
        Self::data(out, "provenance", edge.provenance.as_str());
        self.attributes(out, &edge.attributes);
        out.push_str("  </edge>\n");
    }

    fn end(&mut self, out: &mut String) {
        out.push_str("  </graph>\n</graphml>\n");
    }
}

pub(super) struct Dot {
    meta: Meta,
}

impl Dot {
    pub(super) fn new(meta: Meta) -> Self {
        Self { meta }
    }
}

impl Writes for Dot {
    fn begin(&mut self, out: &mut String) {
        let _ = writeln!(out, "// at {}", self.meta.at);
        for remark in remarks(&self.meta) {
            let _ = writeln!(out, "// {}", remark.replace(['\n', '\r'], " "));
        }
        out.push_str("digraph holm {\n  rankdir=LR;\n");
    }

    fn node(&mut self, out: &mut String, node: &NodeView) {
        let label = format!("{}\n{}", node.kind, node.label);
        let _ = writeln!(out, "  {} [label={}];", Quoted(&node.id), Quoted(&label));
    }

    fn edge(&mut self, out: &mut String, edge: &EdgeView) {
        let (from, to) = (Quoted(&edge.from), Quoted(&edge.to));
        let style = if edge.provenance.is_observed() { "solid" } else { "dashed" };
        let _ = writeln!(
            out,
            "  {from} -> {to} [label={}, style={style}];",
            Quoted(edge.kind.as_str())
        );
    }

    fn end(&mut self, out: &mut String) {
        out.push_str("}\n");
    }
}

fn names(sites: &[holm_model::SiteId]) -> String {
    sites.iter().map(holm_model::SiteId::as_str).collect::<Vec<_>>().join(" ")
}

/// Text within XML: markup is escaped, and what XML 1.0 §2.2 does not allow becomes U+FFFD.
struct Xml<'a>(&'a str);

impl std::fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\t' | '\n' | '\r' => write!(f, "&#{};", c as u32),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}'),
            _ => f.write_char(c),
        })
    }
}

/// A quoted string of DOT: quotes are escaped, a line feed is written as `\n`, a backslash as two.
struct Quoted<'a>(&'a str);

impl std::fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('"')?;
        self.0.chars().try_for_each(|c| match c {
            '"' => f.write_str("\\\""),
            '\\' => f.write_str("\\\\"),
            '\n' => f.write_str("\\n"),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })?;
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::topology_types::Provenance;
    use holm_model::{EdgeKind, Millis, NodeKind};

    fn all(mut format: impl Writes) -> String {
        let mut out = String::new();
        format.begin(&mut out);
        let attributes: BTreeMap<_, _> =
            [("command".into(), AttributeView::of("command", "sh -c \"a\\b\" <&>\u{1}"))].into();
        format.node(
            &mut out,
            &NodeView {
                id: "service:a\"b".into(),
                kind: NodeKind::Service,
                label: "a\"b".into(),
                sites: Vec::new(),
                since: Timestamp(Millis(0)),
                attributes: attributes.clone(),
                attributes_known_from: None,
                aliases: vec!["host:x".into()],
            },
        );
        format.edge(
            &mut out,
            &EdgeView {
                id: "service:a\"b|flow|service:a\"b".into(),
                from: "service:a\"b".into(),
                to: "service:a\"b".into(),
                kind: EdgeKind::Flow,
                sites: Vec::new(),
                since: Timestamp(Millis(0)),
                provenance: Provenance::Observed,
                attributes,
                attributes_known_from: None,
            },
        );
        format.end(&mut out);
        out
    }

    fn meta() -> Meta {
        Meta {
            at: Timestamp(Millis(0)),
            live: true,
            coverage: CoverageView {
                flow_paths: 0,
                path_edges: 0,
                flow_edges: 1,
                routing_edges: 0,
                device_edges: 0,
                notes: vec!["a note <with> markup\nand a line".into()],
            },
            freshness: FreshnessView { sites: Vec::new(), unreachable: Vec::new() },
        }
    }

    #[test]
    fn json_is_whole_with_and_without_elements() {
        let value: serde_json::Value = serde_json::from_str(&all(Json::new(meta()))).expect("JSON");
        assert_eq!(value["nodes"][0]["id"], "service:a\"b");
        assert_eq!(value["edges"][0]["kind"], "flow");
        assert_eq!(value["coverage"]["flow_edges"], 1);
        let (mut empty, mut format) = (String::new(), Json::new(meta()));
        format.begin(&mut empty);
        format.end(&mut empty);
        let value: serde_json::Value = serde_json::from_str(&empty).expect("JSON");
        assert_eq!(value["edges"], serde_json::json!([]));
    }

    #[test]
    fn graphml_escapes_what_is_markup() {
        let keys = BTreeMap::from([("command".into(), false), ("rtt_ms".into(), true)]);
        let text = all(GraphMl::new(meta(), keys));
        assert!(text.contains("<node id=\"service:a&quot;b\">"), "{text}");
        assert!(text.contains("attr.name=\"command\" attr.type=\"string\""), "{text}");
        assert!(text.contains("attr.name=\"rtt_ms\" attr.type=\"double\""), "{text}");
        assert!(text.contains("sh -c &quot;a\\b&quot; &lt;&amp;&gt;\u{fffd}</data>"), "{text}");
        assert!(text.contains("a note &lt;with&gt; markup&#10;and a line"), "{text}");
        assert!(text.ends_with("</graphml>\n"), "{text}");
    }

    #[test]
    fn dot_escapes_quotes_and_backslashes() {
        let text = all(Dot::new(meta()));
        assert!(text.contains("\"service:a\\\"b\" [label=\"service\\na\\\"b\"];"), "{text}");
        assert!(text.contains("// a note <with> markup and a line\n"), "{text}");
        assert_eq!(Quoted("a\\\"").to_string(), "\"a\\\\\\\"\"");
    }
}
