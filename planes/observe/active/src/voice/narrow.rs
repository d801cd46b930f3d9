//! The rating factor of G.107 (06/2015), with its default values.

/// R (§7) with the default values of table 2, for a delay in ms and Ie,eff.
pub(super) fn r_factor(t: f64, ie_eff: f64) -> f64 {
    (basic() - simultaneous() - delayed(t) - ie_eff).clamp(0.0, 100.0)
}

// The default values (G.107 table 2).
const SLR: f64 = 8.0;
pub(super) const RLR: f64 = 2.0;
const STMR: f64 = 15.0;
const DS: f64 = 3.0;
const DR: f64 = 3.0;
pub(super) const TELR: f64 = 65.0;
const WEPL: f64 = 110.0;
const PS: f64 = 35.0;
const PR: f64 = 35.0;
const NC: f64 = -70.0;
const NFOR: f64 = -64.0;
const OLR: f64 = SLR + RLR;

fn power(db: f64) -> f64 {
    10_f64.powf(db / 10.0)
}

/// No: all noise together, in dBm0p (§7.2), with this noise floor at the receiver in dBmp.
pub(super) fn noise(floor: f64) -> f64 {
    let nos = PS - SLR - DS - 100.0 + 0.004 * (PS - OLR - DS - 14.0).powi(2);
    let pre = PR + 10.0 * (1.0 + power(10.0 - (STMR + DR))).log10();
    let nor = RLR - 121.0 + pre + 0.008 * (pre - 35.0).powi(2);
    let nfo = floor + RLR;
    10.0 * (power(NC) + power(nos) + power(nor) + power(nfo)).log10()
}

/// Ro: signal to noise (§7.2).
fn basic() -> f64 {
    15.0 - 1.5 * (SLR + noise(NFOR))
}

/// Is: what happens at once with the voice (§7.3); quantizing distortion of one unit.
fn simultaneous() -> f64 {
    let x = (OLR + 0.2 * (64.0 + noise(NFOR) - RLR)) / 8.0;
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
    let idte = if t < 1.0 {
        // So early it is sidetone.
        0.0
    } else {
        let terv = TELR - ramp(t) + 6.0 * (-0.3 * t * t).exp();
        talker(noise(NFOR), 80.0 + 2.5 * (terv - 14.0), t)
    };
    idte + listener(basic(), t) + late(t)
}

/// By how much an echo stands out more the later it comes, in dB (a term of TERV).
pub(super) fn ramp(t: f64) -> f64 {
    40.0 * ((1.0 + t / 10.0) / (1.0 + t / 150.0)).log10()
}

/// Idte: the talker's echo, of No and Re.
pub(super) fn talker(noise: f64, re: f64, t: f64) -> f64 {
    let half = (-1.5 * (noise - RLR) - re) / 2.0;
    (half + (half * half + 100.0).sqrt() - 1.0) * (1.0 - (-t).exp())
}

/// Idle: the listener's echo, of Ro.
pub(super) fn listener(ro: f64, t: f64) -> f64 {
    let rle = 10.5 * (WEPL + 7.0) * (2.0 * t + 1.0).powf(-0.25);
    let half = (ro - rle) / 2.0;
    half + (half * half + 169.0).sqrt()
}

/// Idd: the delay itself.
pub(super) fn late(t: f64) -> f64 {
    if t <= 100.0 {
        return 0.0;
    }
    let x = (t / 100.0).log2();
    let sixth = |of: f64| (1.0 + of.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}
