use super::*;
use proptest::prelude::*;

fn r_factor(codec: Codec, delay_ms: f64, loss: f64) -> f64 {
    let ie_eff = equipment(codec.impairments(), loss, 1.0);
    if codec.is_wide() {
        wide::r_factor(delay_ms, ie_eff)
    } else {
        narrow::r_factor(delay_ms, ie_eff)
    }
}

#[test]
fn the_default_values_give_the_rating_of_the_recommendation() {
    // G.107 §7.7: with all default values R is 93.2. G.107.1 §7.7: 129, which is rounded.
    let r = r_factor(Codec::G711, 0.0, 0.0);
    assert!((r - 93.2).abs() < 0.05, "{r}");
    let wide = wide::r_factor(0.0, 0.0);
    assert_eq!(wide.round(), 129.0, "{wide}");
    assert!((mos(wide / wide::SCALE) - 4.5).abs() < 0.005);
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
        let cost = r_factor(Codec::G711, 0.0, 0.0) - r_factor(Codec::G729, 0.0, percent / 100.0);
        assert!((cost - ie).abs() <= 0.65, "{percent} %: {cost}");
    }
    // The same of G.711: 1 % costs 3.64 with concealment and 17.92 without.
    let cost = |codec, loss, bursts| equipment(Codec::impairments(codec), loss, bursts);
    assert!((cost(Codec::G711, 0.01, 1.0) - 95.0 / 26.1).abs() < 1e-9);
    assert!((cost(Codec::G711Plain, 0.01, 1.0) - 95.0 / 5.3).abs() < 1e-9);
}

#[test]
fn loss_in_bursts_costs_more() {
    // Equation 7-29 by hand: 95 * 5 / (5 / 2 + 25.1).
    let of = Codec::G711.impairments();
    assert!((equipment(of, 0.05, 2.0) - 17.2101).abs() < 1e-4);
    assert!((equipment(of, 0.05, 1.0) - 15.7807).abs() < 1e-4);
    // Out of the range of table 3 it is the nearest in it, and what is no number is random loss.
    for (ratio, same) in [(0.5, 1.0), (f64::NAN, 1.0), (500.0, 8.0)] {
        assert_eq!(equipment(of, 0.05, ratio), equipment(of, 0.05, same), "{ratio}");
    }
    for codec in Codec::ALL {
        let (even, bursts) =
            (conversation(codec, 50.0, 0.03, 1.0), conversation(codec, 50.0, 0.03, 3.0));
        assert!(bursts.mos < even.mos, "{codec:?}");
    }
}

#[test]
fn a_wideband_call_is_rated_on_its_own_scale() {
    let call = conversation(Codec::Opus, 0.0, 0.0, 1.0);
    // Ie,wb 10, and half a point for the codec's delay; R / 1.29 is 91.9, of which annex A makes 4.38.
    assert!((118.0..119.0).contains(&call.r_factor), "{call:?}");
    assert!((call.mos - 4.38).abs() < 0.01, "{call:?}");
    assert_eq!(call.delay_ms, 26.5);
    assert_eq!((Codec::Opus.model(), Codec::G729.model()), ("G.107.1", "G.107"));
    assert!(Codec::Opus.estimate().is_some() && Codec::G711.estimate().is_none());
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

#[test]
fn codecs_are_written_as_they_are_read() {
    for codec in Codec::ALL {
        let text = serde_json::to_string(&codec).expect("written");
        assert_eq!(text, format!("\"{}\"", codec.as_str()));
        assert_eq!(serde_json::from_str::<Codec>(&text).expect("read"), codec);
    }
}

proptest! {
    #[test]
    fn more_delay_or_loss_is_never_better(rtt in 0.0..2_000.0_f64, more in 0.0..500.0_f64, loss in 0.0..1.0_f64, worse in 0.0..0.5_f64) {
        for codec in Codec::ALL {
            let most = if codec.is_wide() { 129.0 } else { 100.0 };
            let good = voice(codec, rtt, 1.0, loss);
            prop_assert!((0.0..=most).contains(&good.r_factor) && (1.0..=4.5).contains(&good.mos));
            prop_assert!(voice(codec, rtt + more, 1.0, loss).r_factor <= good.r_factor + 0.05);
            prop_assert!(voice(codec, rtt, 1.0, (loss + worse).min(1.0)).r_factor <= good.r_factor + 1e-9);
        }
    }
}
