//! A sample as a row of the table `endpoints`.

use holm_model::Row;

use crate::{Judgement, Measured, Sample, Wifi};

/// The table of samples.
pub const TABLE: &str = "endpoints";

/// Whether it may be the name of an endpoint: 1 to 63 small letters, digits and `-`, a letter or digit first.
pub fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(good) && !name.starts_with('-')
}

/// The row of a sample of `endpoint`. `key` tells the sample from all others of that endpoint: rows of the same key
/// are the same sample. `document` is the sample as it came.
pub fn row(endpoint: &str, key: &str, sample: &Sample, judged: &Judgement, document: &str) -> Row {
    let link = match &sample.wifi {
        Wifi::Link(link) => Some(link),
        _ => None,
    };
    let wifi = match &sample.wifi {
        Wifi::Link(_) => "connected",
        Wifi::NoWifi => "no_wifi",
        Wifi::NotConnected => "not_connected",
        Wifi::NotMeasured(_) => "not_measured",
    };
    let gateway = sample.gateways.value().and_then(|all| all.first());
    let gateway_echo = gateway.and_then(|gateway| gateway.echo.value());
    let edge = sample.last_mile.value().and_then(|way| way.edge.value());
    let checks = || sample.checks.iter().filter_map(|check| check.result.value());
    let resolver = sample.resolvers.value().and_then(|all| all.first());
    let resolver = resolver.and_then(|resolver| resolver.answer.value());
    Row::new(TABLE, sample.at)
        .with("endpoint", endpoint)
        .with("key", key)
        .with("attribution", judged.attribution.as_str())
        .with("confidence", judged.confidence)
        .with_some("evidence", judged.evidence.first().map(String::as_str))
        .with("wifi.state", wifi)
        .with_some("wifi.ssid", link.map(|link| link.ssid.to_string()))
        .with_some("wifi.bssid", link.map(|link| link.bssid.to_string()))
        .with_some("wifi.signal_dbm", link.and_then(|link| link.signal_dbm).map(i64::from))
        .with_some("wifi.tx_mbps", link.and_then(|link| link.tx_mbps))
        .with_some(
            "gateway.address",
            gateway.and_then(|gateway| gateway.address.as_ref()).map(ToString::to_string),
        )
        .with_some("gateway.rtt_ms", gateway_echo.and_then(|echo| echo.rtt_ms))
        .with_some("gateway.loss.ratio", gateway_echo.and_then(crate::Echo::loss))
        .with_some("isp.rtt_ms", edge.and_then(|echo| echo.rtt_ms))
        .with_some("isp.loss.ratio", edge.and_then(crate::Echo::loss))
        .with_some("dns.duration_ms", resolver.and_then(|answer| answer.duration_ms))
        .with("checks", checks().count() as u64)
        .with("checks.failed", checks().filter(|result| !result.success).count() as u64)
        .with_some(
            "sessions",
            match &sample.sessions {
                Measured::Measured(all) => Some(all.len() as u64),
                Measured::NotMeasured(_) => None,
            },
        )
        .with("sample", document)
}

#[cfg(test)]
mod tests {
    use holm_model::Value;

    use super::*;
    use crate::judge::tests::a_sample;

    #[test]
    fn what_was_not_measured_is_no_column() {
        let mut sample = crate::Privacy::ALL.withhold(a_sample());
        let of = |sample: &Sample| row("laptop-1", "a-1", sample, &crate::judge(sample), "{}");
        let full = of(&sample);
        assert_eq!(full.columns.get("wifi.ssid"), Some(&Value::from("withheld")));
        assert_eq!(full.columns.get("gateway.rtt_ms"), Some(&Value::Float(2.0)));
        assert_eq!(full.columns.get("checks.failed"), Some(&Value::Int(0)));
        sample.wifi = Wifi::NoWifi;
        sample.gateways = Measured::NotMeasured("why".into());
        let less = of(&sample);
        assert!(!less.columns.contains_key("wifi.signal_dbm"));
        assert!(!less.columns.contains_key("gateway.rtt_ms"));
        for (name, good) in [("laptop-1", true), ("-x", false), ("Ada", false), ("", false)] {
            assert_eq!(is_name(name), good, "{name}");
        }
    }
}
