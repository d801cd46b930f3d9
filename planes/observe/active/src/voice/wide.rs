//! The rating factor of the wideband E-model, G.107.1 (06/2019, with corrigendum 1), with its default values.

use super::narrow::{TELR, late, listener, noise, ramp, talker};

/// R of a wideband call without any impairment (Ro,WB, equation 7-2).
const BEST: f64 = 129.0;
/// How much longer its scale is than that of annex A (equation A-1).
pub(super) const SCALE: f64 = 1.29;
/// The noise floor at the receiver in dBmp (Nfor, table 1). How it enters No,WB is left for further study there: it is
/// summed as in G.107 §7.2.
const FLOOR: f64 = -96.0;

/// R (§7.1) for a delay in ms and Ie,eff,WB. Is,WB and A are 0 (§7.3, §7.6).
pub(super) fn r_factor(t: f64, ie_eff: f64) -> f64 {
    (BEST - delayed(t) - ie_eff).clamp(0.0, BEST)
}

/// Id,WB (§7.4). T = Ta = Tr / 2.
fn delayed(t: f64) -> f64 {
    // What a wide band hides of an echo.
    let hidden = if t < 100.0 { 0.08 * t + 10.0 } else { 18.0 };
    let terv = TELR + hidden - ramp(t);
    let idte = talker(noise(FLOOR), 80.0 + 3.0 * (terv - 14.0), t);
    idte + listener(BEST, t) + SCALE * late(t)
}

#[cfg(test)]
mod tests {
    use super::super::narrow::RLR;
    use super::*;

    #[test]
    fn the_terms_are_those_of_the_equations() {
        // By hand at 50 ms: TERV 65 + 14 - 40 lg(6 / (4/3)) = 52.87, Re 196.61, Roe -1.5 (-68.81 - 2) = 106.21, so Idte
        // 0.093; Idle 0.652 of Rle 10.5 * 117 * 101^-0.25; no Idd. At 150 ms Idte 0.355, Idle 1.012, Idd 0.211.
        for (t, r) in [(0.0, 128.846), (50.0, 128.255), (150.0, 127.421)] {
            assert!((r_factor(t, 0.0) - r).abs() < 0.001, "{t} ms: {}", r_factor(t, 0.0));
        }
        let no = noise(FLOOR);
        assert!((no + 68.8055).abs() < 0.001, "{no}");
        assert!((-1.5 * (no - RLR) - 106.208).abs() < 0.001);
        // Equation 7-13: 25 * 1.29 * (...), 3.9273 at 200 ms.
        assert!((SCALE * late(200.0) - 3.9273).abs() < 0.001);
    }
}
