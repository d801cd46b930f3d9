//! Which fields of a target which kinds of probe have.

use crate::target::ProbeKind;

/// Fields that some kinds of probe alone understand, and which.
pub(crate) const OF_PROBE: &[(&str, &[ProbeKind])] = &[
    (
        "port",
        &[
            ProbeKind::Tcp,
            ProbeKind::Tls,
            ProbeKind::Udp,
            ProbeKind::Stamp,
            ProbeKind::Sip,
            ProbeKind::Rtp,
        ],
    ),
    ("expect_status", &[ProbeKind::Http, ProbeKind::Sip]),
    ("stamp_key", &[ProbeKind::Stamp]),
    ("steps", &[ProbeKind::Browser, ProbeKind::Script]),
    ("sip_transport", &[ProbeKind::Sip]),
    ("method", &[ProbeKind::Http]),
    ("http_version", &[ProbeKind::Http, ProbeKind::Script]),
    ("headers", &[ProbeKind::Http]),
    ("header_files", &[ProbeKind::Http]),
    ("body", &[ProbeKind::Http]),
    ("body_file", &[ProbeKind::Http]),
    ("content_type", &[ProbeKind::Http]),
    ("follow_redirects", &[ProbeKind::Http, ProbeKind::Script]),
    ("identity", &[ProbeKind::Http, ProbeKind::Script]),
    ("expect_header", &[ProbeKind::Http]),
    ("expect_body", &[ProbeKind::Http]),
    ("expect_json", &[ProbeKind::Http]),
    ("server_name", &[ProbeKind::Tls, ProbeKind::Dns, ProbeKind::Sip]),
    ("tls_scan", &[ProbeKind::Tls]),
    ("expect_days_left", &[ProbeKind::Tls]),
    ("dns_type", &[ProbeKind::Dns]),
    ("dns_server", &[ProbeKind::Dns]),
    ("dns_transport", &[ProbeKind::Dns]),
    ("dnssec", &[ProbeKind::Dns]),
    ("echo_count", &[ProbeKind::Icmp, ProbeKind::Udp, ProbeKind::Stamp]),
    ("payload_bytes", &[ProbeKind::Icmp, ProbeKind::Udp]),
    ("dscp", &[ProbeKind::Icmp, ProbeKind::Rtp]),
    ("codec", &[ProbeKind::Rtp]),
    ("duration_s", &[ProbeKind::Rtp]),
    ("expect_mos", &[ProbeKind::Rtp]),
    ("voice", &[ProbeKind::Icmp, ProbeKind::Udp, ProbeKind::Stamp]),
];

/// Whether a kind of probe understands a field.
pub(crate) fn understands(probe: ProbeKind, key: &str) -> bool {
    OF_PROBE.iter().all(|(field, kinds)| *field != key || kinds.contains(&probe))
}
