//! Answers in the encoding of the request (OTLP 1.x, "OTLP/HTTP Response").

use prost::Message;
use serde_json::json;

use crate::export::Encoding;
use crate::messages::{PartialSuccess, Response, RpcStatus};
use crate::tally::Tally;

/// `ExportTraceServiceResponse`: what was refused for good, if anything was. Exporters do not send that again.
pub fn accepted(encoding: Encoding, tally: &Tally) -> Vec<u8> {
    let rejected = tally.rejected();
    if rejected == 0 {
        return match encoding {
            Encoding::Json => b"{}".to_vec(),
            Encoding::Protobuf => Response::default().encode_to_vec(),
        };
    }
    let reasons = tally.reasons().filter(|(count, _)| *count > 0);
    let reasons: Vec<String> = reasons.map(|(count, why)| format!("{count} {why}")).collect();
    let error_message = format!("spans refused: {}", reasons.join("; "));
    let rejected_spans = i64::try_from(rejected).unwrap_or(i64::MAX);
    match encoding {
        Encoding::Json => json!({"partialSuccess": {
            "rejectedSpans": rejected_spans.to_string(),
            "errorMessage": error_message,
        }})
        .to_string()
        .into_bytes(),
        Encoding::Protobuf => {
            let partial_success = Some(PartialSuccess { rejected_spans, error_message });
            Response { partial_success }.encode_to_vec()
        }
    }
}

/// `google.rpc.Status` in protobuf: why a request was refused. `code` is that of gRPC.
pub fn refusal(code: i32, message: &str) -> Vec<u8> {
    RpcStatus { code, message: message.to_owned() }.encode_to_vec()
}
