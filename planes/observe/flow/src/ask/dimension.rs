//! What flows are grouped by.

/// A dimension: columns that together make a key, and what names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimension {
    /// Its name.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [&'static str],
    /// A column that names the key, where there is one.
    pub label: Option<&'static str>,
    /// The field of the filter language that a value of it goes into, by column.
    pub fields: &'static [&'static str],
    /// Whether every exporter that sees a flow says the same of it.
    pub of_flow: bool,
    /// In words.
    pub text: &'static str,
}

const fn plain(
    name: &'static str,
    columns: &'static [&'static str],
    fields: &'static [&'static str],
    text: &'static str,
) -> Dimension {
    Dimension { name, columns, label: None, fields, of_flow: true, text }
}

const fn local(
    name: &'static str,
    columns: &'static [&'static str],
    label: Option<&'static str>,
    fields: &'static [&'static str],
    text: &'static str,
) -> Dimension {
    Dimension { name, columns, label, fields, of_flow: false, text }
}

const fn numbered(
    name: &'static str,
    columns: &'static [&'static str],
    label: &'static str,
    fields: &'static [&'static str],
    text: &'static str,
) -> Dimension {
    Dimension { name, columns, label: Some(label), fields, of_flow: true, text }
}

/// All dimensions.
pub const DIMENSIONS: &[Dimension] = &[
    plain("src", &["source.address"], &["src"], "sender"),
    plain("dst", &["destination.address"], &["dst"], "receiver"),
    plain(
        "pair",
        &["source.address", "destination.address"],
        &["src", "dst"],
        "sender and receiver",
    ),
    plain("src_port", &["source.port"], &["src_port"], "port of the sender"),
    plain("dst_port", &["destination.port"], &["dst_port"], "port of the receiver"),
    plain("proto", &["network.transport"], &["proto"], "IP protocol"),
    numbered(
        "src_as",
        &["source.as.effective"],
        "source.as.organization.name",
        &["src_as"],
        "AS of the sender",
    ),
    numbered(
        "dst_as",
        &["destination.as.effective"],
        "destination.as.organization.name",
        &["dst_as"],
        "AS of the receiver",
    ),
    plain("src_net", &["source.network.name"], &["src_net"], "configured network of the sender"),
    plain(
        "dst_net",
        &["destination.network.name"],
        &["dst_net"],
        "configured network of the receiver",
    ),
    plain("src_zone", &["source.network.zone"], &["src_zone"], "zone of the sender"),
    plain("dst_zone", &["destination.network.zone"], &["dst_zone"], "zone of the receiver"),
    plain("src_service", &["source.service.name"], &["src_service"], "service of the sender"),
    plain(
        "dst_service",
        &["destination.service.name"],
        &["dst_service"],
        "service of the receiver",
    ),
    plain("src_team", &["source.team.name"], &["src_team"], "team of the sender"),
    plain("dst_team", &["destination.team.name"], &["dst_team"], "team of the receiver"),
    plain("dscp", &["flow.ip.dscp"], &["dscp"], "DSCP"),
    local("app", &["flow.application.name"], None, &["app"], "application as exporters name it"),
    local("vlan", &["flow.vlan.id"], None, &["vlan"], "VLAN"),
    local("next_hop", &["flow.next_hop.address"], None, &["next_hop"], "next hop"),
    local("tcp_flags", &["flow.tcp_flags"], None, &["tcp_flags"], "TCP flags"),
    local(
        "exporter",
        &["flow.exporter.address"],
        Some("flow.exporter.name"),
        &["exporter"],
        "exporter",
    ),
    local(
        "in_if",
        &["flow.exporter.address", "flow.in.interface.index"],
        Some("flow.in.interface.name"),
        &["exporter", "in_if"],
        "exporter and the interface it came in by",
    ),
    local(
        "out_if",
        &["flow.exporter.address", "flow.out.interface.index"],
        Some("flow.out.interface.name"),
        &["exporter", "out_if"],
        "exporter and the interface it left by",
    ),
    local("direction", &["network.io.direction"], None, &["direction"], "direction"),
    local("type", &["flow.type"], None, &["type"], "protocol of the exporter"),
    local("site", &["site"], None, &["site"], "site that has the records"),
];

impl Dimension {
    /// The dimension of that name.
    pub fn of(name: &str) -> Option<&'static Self> {
        DIMENSIONS.iter().find(|dimension| dimension.name == name)
    }

    /// The field of the filter language whose values are this dimension's, if it is one column.
    pub fn of_field(field: &str) -> Option<&'static Self> {
        DIMENSIONS.iter().find(|dimension| dimension.fields == [field])
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Field;
    use super::*;

    #[test]
    fn every_column_has_a_field_to_filter_by() {
        for dimension in DIMENSIONS {
            assert_eq!(dimension.columns.len(), dimension.fields.len(), "{}", dimension.name);
            for field in dimension.fields {
                assert!(Field::of(field).is_some(), "{field}");
            }
        }
    }
}
