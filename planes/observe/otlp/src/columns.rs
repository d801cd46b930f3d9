//! The columns of table `spans`. Names of attributes are OpenTelemetry's (semantic conventions 1.3x); what a span
//! is beside them is called as in OTLP's `trace.proto`.

/// Where spans are kept.
pub const SPANS_TABLE: &str = "spans";

/// Columns of text.
pub const TEXT_COLUMNS: &[&str] = &[
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "status_code",
    "status_message",
    "service.name",
    "service.namespace",
    "service.instance.id",
    "service.version",
    "deployment.environment.name",
    "host.name",
    "otel.scope.name",
    "otel.scope.version",
    "http.request.method",
    "http.route",
    "url.path",
    "server.address",
    "client.address",
    "peer.service",
    "rpc.system.name",
    "rpc.service",
    "rpc.method",
    "rpc.response.status_code",
    "db.system.name",
    "db.namespace",
    "db.operation.name",
    "db.collection.name",
    "db.response.status_code",
    "messaging.system",
    "messaging.destination.name",
    "error.type",
];

/// Columns of whole numbers.
pub const INT_COLUMNS: &[&str] =
    &["start_time_unix_nano", "http.response.status_code", "server.port", "rpc.grpc.status_code"];

/// Columns of measured numbers.
pub const FLOAT_COLUMNS: &[&str] = &["duration_ms"];

/// Attributes of the resource that have a column.
const OF_RESOURCE: &[&str] = &[
    "service.name",
    "service.namespace",
    "service.instance.id",
    "service.version",
    "deployment.environment.name",
    "host.name",
];

/// Columns that no attribute fills, and names that rows have beside columns.
const OWN: &[&str] = &[
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "status_code",
    "status_message",
    "otel.scope.name",
    "otel.scope.version",
    "start_time_unix_nano",
    "duration_ms",
    "time",
    "attributes",
    "site",
];

/// Names of older semantic conventions that exporters still send, and what they are called now.
const RENAMED: &[(&str, &str)] = &[
    ("http.method", "http.request.method"),
    ("http.status_code", "http.response.status_code"),
    ("net.peer.name", "server.address"),
    ("net.peer.port", "server.port"),
    ("service.peer.name", "peer.service"),
    ("rpc.system", "rpc.system.name"),
    ("db.system", "db.system.name"),
    ("db.name", "db.namespace"),
    ("db.operation", "db.operation.name"),
    ("deployment.environment", "deployment.environment.name"),
];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    Int,
    Text,
}

/// The column of a name, and what it holds.
pub(crate) fn column(name: &str) -> Option<(&'static str, Holds)> {
    let among = |columns: &'static [&'static str], holds| {
        columns.iter().find(|column| **column == name).map(|column| (*column, holds))
    };
    among(TEXT_COLUMNS, Holds::Text).or_else(|| among(INT_COLUMNS, Holds::Int))
}

/// Whether it is a column that attributes of the resource fill.
pub(crate) fn is_of_resource(name: &str) -> bool {
    OF_RESOURCE.contains(&name)
}

/// Whether no attribute may fill it.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}

/// What an older name is called now.
pub(crate) fn renamed(name: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(old, _)| *old == name).map(|(_, new)| *new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_column() {
        let mut all = [TEXT_COLUMNS, INT_COLUMNS, FLOAT_COLUMNS].concat();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert!(OF_RESOURCE.iter().all(|name| column(name).is_some()));
        for (old, new) in RENAMED {
            assert!(column(old).is_none() && column(new).is_some(), "{old} -> {new}");
            assert!(!is_own(new), "{new}");
        }
    }
}
