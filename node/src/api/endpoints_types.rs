//! What the API says of endpoints.

use holm_model::{NodeName, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::probe_tests_types::TestAsked;
use super::topology_types::FreshnessView;
use super::types::{Timestamp, api_type, api_word, request_type};

request_type!(
    /// An endpoint that a token is made for.
    NewEndpointRequest {
        /// Its name: 1 to 63 small letters, digits and `-`.
        name: String,
    }
);

api_type!(
    /// A token that writes the samples of one endpoint at every node of the tenant, and does nothing else. Its text is
    /// shown this once.
    CreatedEndpointToken {
        id: String,
        name: String,
        token: String,
    }
);

api_type!(
    /// What an agent sends.
    EndpointReport {
        /// The random name of its queue: with the number of a sample it is the sample's key.
        queue: String,
        /// Samples that it let go of because its queue was full.
        dropped: u64,
        /// In the order of their numbers, 1 to 200.
        samples: Vec<EndpointSampleSent>,
    }
);

api_type!(
    /// A sample that is sent.
    EndpointSampleSent {
        sequence: u64,
        /// As docs/endpoints.md has it.
        #[schema(value_type = Object)]
        sample: Value,
    }
);

api_type!(
    /// What became of a report. All its samples may be forgotten by the agent: those that were taken are durable here.
    EndpointReported {
        accepted: u64,
        /// Samples that this node had already.
        known: u64,
        refused: Vec<EndpointSampleRefused>,
    }
);

api_type!(
    /// A sample that is not taken, now or later.
    EndpointSampleRefused {
        sequence: u64,
        why: String,
    }
);

api_word!(
    /// Which part of an endpoint's way is to blame.
    EndpointAttribution {
        /// The Wi-Fi link.
        Wifi,
        /// The local network.
        Local,
        /// The provider.
        Isp,
        /// The network behind the provider's edge.
        Network,
        /// A target by itself.
        Target,
        /// Too little was measured.
        Unknown,
        /// Nothing is impaired.
        None,
    }
);

api_word!(
    /// How a part of the way stands.
    EndpointLayerState {
        Fine,
        Impaired,
        /// That is not fine.
        NotMeasured,
        /// It is not there.
        Absent,
    }
);

api_word!(
    /// A part of the way, from the machine outwards.
    EndpointPart {
        Wifi,
        Gateway,
        Isp,
        Target,
    }
);

api_type!(
    /// A part of the way and how it stands.
    EndpointLayer {
        part: EndpointPart,
        state: EndpointLayerState,
        /// 0 if it is not impaired, else 0.5 (just at a threshold) to 1.
        score: f64,
        text: String,
    }
);

api_type!(
    /// An endpoint as it was heard last.
    EndpointView {
        name: String,
        /// Whether a token of it counts.
        enrolled: bool,
        /// By the machine's clock; null if it was not heard in the window.
        observed_at: Option<Timestamp>,
        age_ms: Option<u64>,
        /// Whether it was heard within three of its intervals and a minute.
        live: bool,
        /// The site that took the last sample.
        #[schema(value_type = Option<String>)]
        site: Option<SiteId>,
        attribution: Option<EndpointAttribution>,
        /// 0 to 1.
        confidence: Option<f64>,
        evidence: Vec<String>,
        /// The whole way, from the machine outwards.
        layers: Vec<EndpointLayer>,
    }
);

api_type!(
    /// The endpoints of the tenant, what is impaired first.
    EndpointList {
        items: Vec<EndpointView>,
        total: u64,
        /// There are more than can be looked at.
        cut: bool,
        asked: TestAsked,
        freshness: FreshnessView,
    }
);

api_type!(
    /// A token of an endpoint.
    EndpointTokenView {
        id: String,
        created_at: Timestamp,
        created_by: String,
    }
);

api_type!(
    /// What an endpoint was at a moment.
    EndpointMoment {
        observed_at: Timestamp,
        #[schema(value_type = String)]
        site: SiteId,
        attribution: EndpointAttribution,
        confidence: Option<f64>,
        evidence: Option<String>,
    }
);

api_type!(
    /// One endpoint.
    EndpointDetail {
        endpoint: EndpointView,
        /// The last sample as the machine sent it: docs/endpoints.md.
        #[schema(value_type = Option<Object>)]
        sample: Option<Value>,
        /// What it was in the window, the latest first; each sample once.
        history: Vec<EndpointMoment>,
        tokens: Vec<EndpointTokenView>,
        /// What this node counted of its reports since it started.
        counts: EndpointCounts,
        #[schema(value_type = String)]
        node: NodeName,
        asked: TestAsked,
        freshness: FreshnessView,
    }
);

api_type!(
    /// Samples of an endpoint at the node that answers, since it started.
    EndpointCounts {
        accepted: u64,
        known: u64,
        refused: u64,
        /// Samples that the agent let go of because its queue was full, as it said last.
        dropped_by_agent: u64,
        /// Samples that came too late to raise a signal.
        late: u64,
    }
);
