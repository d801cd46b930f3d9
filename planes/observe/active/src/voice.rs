//! How a conversation would sound: the E-model of ITU-T G.107 (06/2015), and of wideband codecs that of G.107.1
//! (06/2019), with their default values, from delay and loss.
//!
//! It is an estimate from packets, not from speech. Ie and Bpl are those of ITU-T G.113.

mod narrow;
mod wide;

use serde::{Deserialize, Serialize};

/// The burst ratios that the model is for (G.107 table 3). Loss that is spread more evenly than at random counts as
/// random.
const BURST_RATIO: (f64, f64) = (1.0, 8.0);
/// Ie,eff at a loss of all packets that are lost at random (G.107 §7.5); G.107.1 §7.5 has the same.
const ALL_LOST: f64 = 95.0;

/// A codec, with its impairments by ITU-T G.113.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// G.711 with the concealment of lost packets of its appendix I: 64 kbit/s.
    #[default]
    G711,
    /// G.711 where nothing conceals that a packet was lost.
    #[serde(rename = "g711-plain")]
    G711Plain,
    /// G.729 annex A with silence suppression: 8 kbit/s.
    G729,
    /// Opus in its wideband mode (RFC 6716): 24 kbit/s.
    Opus,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::G711, Self::G711Plain, Self::G729, Self::Opus];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::G711 => "g711",
            Self::G711Plain => "g711-plain",
            Self::G729 => "g729",
            Self::Opus => "opus",
        }
    }

    /// The recommendation by which it is rated.
    pub const fn model(self) -> &'static str {
        if self.is_wide() { "G.107.1" } else { "G.107" }
    }

    /// What of its rating no recommendation says; `None` if all of it is said.
    pub const fn estimate(self) -> Option<&'static str> {
        match self {
            Self::Opus => Some(
                "G.113 has no values of Opus: those of G.722.2 at 23.85 kbit/s are taken, and the burst ratio as in G.107",
            ),
            Self::G711 | Self::G711Plain | Self::G729 => None,
        }
    }

    const fn is_wide(self) -> bool {
        matches!(self, Self::Opus)
    }

    /// Ie and Bpl (G.113 appendix I), of a wideband codec Ie,wb and Bpl,wb (tables IV.3 and IV.4: both ears).
    const fn impairments(self) -> (f64, f64) {
        match self {
            Self::G711 => (0.0, 25.1),
            Self::G711Plain => (0.0, 4.3),
            Self::G729 => (11.0, 19.0),
            Self::Opus => (10.0, 4.9),
        }
    }

    /// What packets of 20 ms and looking ahead take, in ms.
    const fn delay_ms(self) -> f64 {
        match self {
            Self::G711 | Self::G711Plain => 20.0,
            Self::G729 => 25.0,
            Self::Opus => 26.5,
        }
    }
}

/// What a conversation would come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Voice {
    /// One way from mouth to ear, in ms.
    pub delay_ms: f64,
    /// The rating factor R: 0 to 100, of a wideband codec 0 to 129.
    pub r_factor: f64,
    /// The mean opinion score that is expected (MOS-CQE): 1 to 4.5. Those of narrow and wide bands are not compared.
    pub mos: f64,
}

/// What it would come to over a way with this round trip and jitter in ms, and this share of packets lost (0 to 1) at
/// random: a buffer is taken to hold twice the jitter.
pub fn voice(codec: Codec, round_trip_ms: f64, jitter_ms: f64, loss: f64) -> Voice {
    let network_ms = round_trip_ms.max(0.0) / 2.0 + 2.0 * jitter_ms.max(0.0);
    conversation(codec, network_ms, loss, 1.0)
}

/// What it would come to with this delay in ms of network and buffer, one way, and this share of packets lost or
/// discarded (0 to 1), which come in bursts of `burst_ratio` times the length that chance would give (BurstR).
pub fn conversation(codec: Codec, network_ms: f64, loss: f64, burst_ratio: f64) -> Voice {
    let delay_ms = network_ms.max(0.0) + codec.delay_ms();
    let ie_eff = equipment(codec.impairments(), loss, burst_ratio);
    let t = delay_ms.clamp(0.0, 10_000.0);
    let (r_factor, scale) = match codec.is_wide() {
        false => (narrow::r_factor(t, ie_eff), 1.0),
        true => (wide::r_factor(t, ie_eff), wide::SCALE),
    };
    Voice { delay_ms, r_factor, mos: mos(r_factor / scale) }
}

/// Ie,eff (G.107 §7.5, equation 7-29), of Ie and Bpl. G.107.1 has it for random loss alone.
fn equipment((ie, bpl): (f64, f64), loss: f64, burst_ratio: f64) -> f64 {
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let burst_ratio = burst_ratio.max(BURST_RATIO.0).min(BURST_RATIO.1);
    ie + (ALL_LOST - ie) * percent / (percent / burst_ratio + bpl)
}

/// The score that is expected of R from 0 to 100 (G.107 annex B; G.107.1 annex A of R / 1.29).
fn mos(r: f64) -> f64 {
    match r {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0),
    }
}

#[cfg(test)]
mod tests;
