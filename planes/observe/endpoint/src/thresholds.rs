//! From where on a part of the way counts as impaired.

use serde::{Deserialize, Serialize};

/// From where on something counts as impaired.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// A signal this weak or weaker, in dBm: -120 to 0.
    pub wifi_signal_dbm: i32,
    /// A round trip to the gateway this long or longer, in ms: 0.1 to 60,000.
    pub gateway_rtt_ms: f64,
    /// A loss this large or larger to the gateway, 0.001 to 1.
    pub gateway_loss: f64,
    /// A round trip to the provider's edge this long or longer, in ms.
    pub isp_rtt_ms: f64,
    /// A loss this large or larger to the provider's edge.
    pub isp_loss: f64,
    /// A check, or the round trip of a session, this long or longer, in ms.
    pub check_ms: f64,
    /// A share of segments sent again this large or larger.
    pub session_loss: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            wifi_signal_dbm: -75,
            gateway_rtt_ms: 25.0,
            gateway_loss: 0.02,
            isp_rtt_ms: 80.0,
            isp_loss: 0.02,
            check_ms: 1_500.0,
            session_loss: 0.05,
        }
    }
}

impl Thresholds {
    /// Checks every value.
    ///
    /// # Errors
    /// The name of the threshold, and what it may be.
    pub fn check(&self) -> Result<(), String> {
        if !(-120..=0).contains(&self.wifi_signal_dbm) {
            return Err("thresholds.wifi_signal_dbm: it goes from -120 to 0".into());
        }
        for (name, ms) in [
            ("gateway_rtt_ms", self.gateway_rtt_ms),
            ("isp_rtt_ms", self.isp_rtt_ms),
            ("check_ms", self.check_ms),
        ] {
            if !(0.1..=60_000.0).contains(&ms) {
                return Err(format!("thresholds.{name}: it goes from 0.1 to 60,000"));
            }
        }
        for (name, share) in [
            ("gateway_loss", self.gateway_loss),
            ("isp_loss", self.isp_loss),
            ("session_loss", self.session_loss),
        ] {
            if !(0.001..=1.0).contains(&share) {
                return Err(format!("thresholds.{name}: it goes from 0.001 to 1"));
            }
        }
        Ok(())
    }
}
