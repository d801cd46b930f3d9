//! What a machine's owner withholds. It is taken out at the machine, before anything is stored or sent.

use serde::{Deserialize, Serialize};

use crate::{CheckResult, Measured, Sample, Shown, Wifi};

/// What is withheld. By default the access point's address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Privacy {
    /// The name of the Wi-Fi network.
    pub withhold_ssid: bool,
    /// The address of the access point: it tells where the machine is.
    pub withhold_bssid: bool,
    /// The addresses of gateways, resolvers and the hops of the last mile.
    pub withhold_addresses: bool,
    /// What the machine is connected to and what is checked.
    pub withhold_targets: bool,
    /// The machine's own name.
    pub withhold_hostname: bool,
}

impl Default for Privacy {
    fn default() -> Self {
        Self {
            withhold_ssid: false,
            withhold_bssid: true,
            withhold_addresses: false,
            withhold_targets: false,
            withhold_hostname: false,
        }
    }
}

impl Privacy {
    /// Everything that can be.
    pub const ALL: Self = Self {
        withhold_ssid: true,
        withhold_bssid: true,
        withhold_addresses: true,
        withhold_targets: true,
        withhold_hostname: true,
    };

    /// What is withheld, for people; none if nothing is.
    pub fn text(&self) -> Option<String> {
        let switches = [
            (self.withhold_ssid, "SSID"),
            (self.withhold_bssid, "BSSID"),
            (self.withhold_addresses, "addresses of gateways, resolvers and hops"),
            (self.withhold_targets, "targets"),
            (self.withhold_hostname, "hostname"),
        ];
        let on: Vec<&str> = switches.iter().filter(|(on, _)| *on).map(|(_, what)| *what).collect();
        (!on.is_empty()).then(|| on.join(", "))
    }

    /// Takes out of a sample what is withheld.
    #[must_use]
    pub fn withhold(&self, mut sample: Sample) -> Sample {
        if self.withhold_hostname {
            sample.hostname = Shown::Withheld;
        }
        if let Wifi::Link(link) = &mut sample.wifi {
            if self.withhold_ssid {
                link.ssid = Shown::Withheld;
            }
            if self.withhold_bssid {
                link.bssid = Shown::Withheld;
            }
        }
        if self.withhold_addresses {
            if let Measured::Measured(gateways) = &mut sample.gateways {
                for gateway in gateways {
                    gateway.address.iter_mut().for_each(|of| *of = Shown::Withheld);
                    reason(&mut gateway.echo);
                }
            }
            if let Measured::Measured(resolvers) = &mut sample.resolvers {
                for resolver in resolvers {
                    resolver.address = Shown::Withheld;
                    result(&mut resolver.answer);
                }
            }
            if let Measured::Measured(way) = &mut sample.last_mile {
                for hop in &mut way.hops {
                    hop.address.iter_mut().for_each(|of| *of = Shown::Withheld);
                }
                reason(&mut way.edge);
            }
        }
        // Why there was no trace names where it should have gone.
        if self.withhold_addresses || self.withhold_targets {
            reason(&mut sample.last_mile);
        }
        if self.withhold_targets {
            if let Measured::Measured(sessions) = &mut sample.sessions {
                for session in sessions {
                    session.target = Shown::Withheld;
                    reason(&mut session.figures);
                }
            }
            for check in &mut sample.checks {
                check.name = Shown::Withheld;
                result(&mut check.result);
            }
        }
        sample
    }
}

/// A reason is made of texts of others, that may name what is withheld.
fn reason<T>(measured: &mut Measured<T>) {
    if let Measured::NotMeasured(why) = measured {
        "withheld".clone_into(why);
    }
}

fn result(measured: &mut Measured<CheckResult>) {
    match measured {
        Measured::Measured(result) => {
            result.error.iter_mut().for_each(|error| *error = Shown::Withheld);
        }
        Measured::NotMeasured(_) => reason(measured),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::judge::tests::a_sample;

    const SECRETS: [&str; 6] = ["SecretNet", "02:00:5e", "192.0.2.77", "shop", "ada-laptop", "ada"];

    #[test]
    fn by_default_only_the_access_point_is_withheld() {
        let text = serde_json::to_string(&Privacy::default().withhold(a_sample())).expect("JSON");
        assert!(!text.contains("02:00:5e") && text.contains("SecretNet"), "{text}");
        assert!(text.contains(r#""bssid":"withheld""#), "{text}");
    }

    proptest! {
        #[test]
        fn what_is_withheld_is_nowhere_in_what_is_sent(
            ssid: bool, bssid: bool, addresses: bool, targets: bool, hostname: bool,
        ) {
            let privacy = Privacy {
                withhold_ssid: ssid, withhold_bssid: bssid, withhold_addresses: addresses,
                withhold_targets: targets, withhold_hostname: hostname,
            };
            let before = a_sample();
            let sample = privacy.withhold(before.clone());
            prop_assert_eq!(sample.check(), Ok(()));
            let text = serde_json::to_string(&sample).expect("JSON");
            for (on, secret) in [ssid, bssid, addresses, targets, hostname, hostname].iter().zip(SECRETS) {
                prop_assert_eq!(!text.contains(secret), *on, "{} in {}", secret, text);
            }
            // What is withheld changes nothing of what is judged.
            let (told, withheld) = (crate::judge(&before), crate::judge(&sample));
            prop_assert_eq!(told.attribution, withheld.attribution);
            prop_assert_eq!(told.confidence, withheld.confidence);
        }
    }
}
