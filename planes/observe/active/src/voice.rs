//! How a conversation would sound: the E-model of ITU-T G.107 (06/2015) with its default values, from delay and loss.
//!
//! It is an estimate from echo requests, not from speech: the delay is half the round trip, a buffer against jitter,
//! and what the codec takes; the loss is taken as random (BurstR 1).

use serde::{Deserialize, Serialize};

/// A codec, with its impairments by ITU-T G.113 (11/2007) appendix I.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// G.711 with the concealment of lost packets of its appendix I: 64 kbit/s.
    G711,
    /// G.729 annex A with silence suppression: 8 kbit/s.
    G729,
}

impl Codec {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::G711 => "g711",
            Self::G729 => "g729",
        }
    }

    /// Ie and Bpl.
    const fn impairments(self) -> (f64, f64) {
        match self {
            Self::G711 => (0.0, 25.1),
            Self::G729 => (11.0, 19.0),
        }
    }

    /// What packets of 20 ms and looking ahead take, in ms.
    const fn delay_ms(self) -> f64 {
        match self {
            Self::G711 => 20.0,
            Self::G729 => 25.0,
        }
    }
}

/// What a conversation would come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Voice {
    /// One way from mouth to ear, in ms.
    pub delay_ms: f64,
    /// The rating factor R: 0 to 100.
    pub r_factor: f64,
    /// The mean opinion score that is expected (MOS-CQE): 1 to 4.5.
    pub mos: f64,
}

/// What it would come to over a way with this round trip and jitter in ms, and this share of packets lost (0 to 1).
pub fn voice(codec: Codec, round_trip_ms: f64, jitter_ms: f64, loss: f64) -> Voice {
    let delay_ms = round_trip_ms.max(0.0) / 2.0 + 2.0 * jitter_ms.max(0.0) + codec.delay_ms();
    let r_factor = r_factor(codec, delay_ms, loss.clamp(0.0, 1.0));
    Voice { delay_ms, r_factor, mos: mos(r_factor) }
}

/// R (G.107 §7) with the default values of its table 2, for a delay in ms and a share of packets lost.
fn r_factor(codec: Codec, delay_ms: f64, loss: f64) -> f64 {
    let t = delay_ms.clamp(0.0, 10_000.0);
    let (ie, bpl) = codec.impairments();
    let percent = loss * 100.0;
    let ie_eff = ie + (95.0 - ie) * percent / (percent + bpl);
    (basic() - simultaneous() - delayed(t) - ie_eff).clamp(0.0, 100.0)
}

// The default values (G.107 table 2).
const SLR: f64 = 8.0;
const RLR: f64 = 2.0;
const STMR: f64 = 15.0;
const DS: f64 = 3.0;
const DR: f64 = 3.0;
const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
const PS: f64 = 35.0;
const PR: f64 = 35.0;
const NC: f64 = -70.0;
const NFOR: f64 = -64.0;
const OLR: f64 = SLR + RLR;

fn power(db: f64) -> f64 {
    10_f64.powf(db / 10.0)
}

/// No: all noise together, in dBm0p (§7.2).
fn noise() -> f64 {
    let nos = PS - SLR - DS - 100.0 + 0.004 * (PS - OLR - DS - 14.0).powi(2);
    let pre = PR + 10.0 * (1.0 + power(10.0 - (STMR + DR))).log10();
    let nor = RLR - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
    let nfo = NFOR + RLR;
    10.0 * (power(NC) + power(nos) + power(nor) + power(nfo)).log10()
}

/// Ro: signal to noise (§7.2).
fn basic() -> f64 {
    15.0 - 1.5 * (SLR + noise())
}

/// Is: what happens at once with the voice (§7.3); quantizing distortion of one unit.
fn simultaneous() -> f64 {
    let x = (OLR + 0.2 * (64.0 + noise() - RLR)) / 8.0;
    let iolr = 20.0 * ((1.0 + x.powi(8)).powf(0.125) - x);
    // Without delay the echo adds e^0 of its power: some 1e-6, which changes nothing.
    let stmr = -10.0 * (power(-STMR) + power(-TELR)).log10();
    let root = |of: f64, n: f64| (1.0 + of.powf(n)).powf(1.0 / n);
    let ist = 12.0 * root(((stmr - 13.0) / 6.0).max(0.0), 8.0)
        - 28.0 * root((stmr + 1.0) / 19.4, 35.0)
        - 13.0 * root((stmr - 3.0) / 33.0, 13.0)
        + 29.0;
    let g = 1.07 + 0.258 * 37.0 + 0.0602 * 37_f64.powi(2);
    let y = (basic() - 100.0) / 15.0 + 46.0 / 8.4 - g / 9.0;
    let z = 46.0 / 30.0 - g / 40.0;
    let iq = 15.0 * (1.0 + 10_f64.powf(y) + 10_f64.powf(z)).log10();
    iolr + ist + iq
}

/// Id: what comes late, the talker's echo, the listener's, and the delay itself (§7.4). T = Ta = Tr / 2.
fn delayed(t: f64) -> f64 {
    let ro = basic();
    let idte = if t < 1.0 {
        // So early it is sidetone.
        0.0
    } else {
        let terv = TELR - 40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10()
            + 6.0 * (-0.3 * t * t).exp();
        let roe = -1.5 * (noise() - RLR);
        let re = 80.0 + 2.5 * (terv - 14.0);
        let half = (roe - re) / 2.0;
        (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp())
    };
    let rle = 10.5 * (WEPL + 7.0) * (2.0 * t + 1.0).powf(-0.25);
    let half = (ro - rle) / 2.0;
    let idle = half + (half * half + 169.0).sqrt();
    let idd = if t <= 100.0 {
        0.0
    } else {
        let x = (t / 100.0).log2();
        let sixth = |of: f64| (1.0 + of.powi(6)).powf(1.0 / 6.0);
        25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
    };
    idte + idle + idd
}

/// The score that is expected of R (annex B).
fn mos(r: f64) -> f64 {
    match r {
        r if r <= 0.0 => 1.0,
        r if r >= 100.0 => 4.5,
        r => (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).max(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_values_give_the_rating_of_the_recommendation() {
        // G.107 §7.7: with all default values R is 93.2.
        let r = r_factor(Codec::G711, 0.0, 0.0);
        assert!((r - 93.2).abs() < 0.05, "{r}");
    }

    #[test]
    fn scores_are_those_of_annex_b() {
        // G.107 table B.1, and 4.5 as the end.
        for (r, wanted) in [(90.0, 4.34), (80.0, 4.03), (70.0, 3.60), (60.0, 3.10), (50.0, 2.58)] {
            assert!((mos(r) - wanted).abs() < 0.011, "{r}: {}", mos(r));
        }
        assert_eq!((mos(-1.0), mos(0.0), mos(100.0)), (1.0, 1.0, 4.5));
        assert!((mos(93.2) - 4.41).abs() < 0.005);
    }

    #[test]
    fn loss_costs_what_g_113_says() {
        // G.113 appendix I: Ie of G.729A with silence suppression under random loss, rounded there.
        for (percent, ie) in
            [(0.0, 11.0), (1.0, 15.0), (2.0, 19.0), (4.0, 26.0), (8.0, 36.0), (16.0, 49.0)]
        {
            let cost =
                r_factor(Codec::G711, 0.0, 0.0) - r_factor(Codec::G729, 0.0, percent / 100.0);
            assert!((cost - ie).abs() <= 0.65, "{percent} %: {cost}");
        }
    }

    #[test]
    fn delay_costs_as_its_known_approximation_says() {
        // Cole and Rosenbluth (2001): Id = 0.024 d + 0.11 (d - 177.3) beyond 177.3 ms, fitted to G.107 up to some 300 ms.
        for d in [25.0, 50.0, 100.0, 150.0, 200.0, 300.0_f64] {
            let near = 0.024 * d + 0.11 * (d - 177.3).max(0.0);
            let cost = r_factor(Codec::G711, 0.0, 0.0) - r_factor(Codec::G711, d, 0.0);
            assert!((cost - near).abs() < 2.5, "{d} ms: {cost}, not {near}");
        }
        let way = voice(Codec::G711, 80.0, 3.0, 0.0);
        assert_eq!(way.delay_ms, 66.0);
    }

    proptest! {
        #[test]
        fn more_delay_or_loss_is_never_better(rtt in 0.0..2_000.0_f64, more in 0.0..500.0_f64, loss in 0.0..1.0_f64, worse in 0.0..0.5_f64) {
            for codec in [Codec::G711, Codec::G729] {
                let good = voice(codec, rtt, 1.0, loss);
                prop_assert!((0.0..=100.0).contains(&good.r_factor) && (1.0..=4.5).contains(&good.mos));
                prop_assert!(voice(codec, rtt + more, 1.0, loss).r_factor <= good.r_factor + 0.01);
                prop_assert!(voice(codec, rtt, 1.0, (loss + worse).min(1.0)).r_factor <= good.r_factor + 1e-9);
            }
        }
    }
}
