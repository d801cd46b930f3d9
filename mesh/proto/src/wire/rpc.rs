//! One call and its answer.

use prost::Message;

use super::generated::rpc_response::Result as Body;
use super::{Frame, MAX_RPC_BYTES, WireError, bad, decode, generated, missing};

/// Longest method name, in bytes.
const MAX_METHOD_BYTES: usize = 64;

/// A call of one node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcRequest {
    /// Which method, e.g. `renew`; 1 to 64 bytes.
    pub method: String,
    /// What the method takes.
    pub body: Vec<u8>,
}

/// The answer: what the method gives, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcResponse(pub Result<Vec<u8>, String>);

impl Frame for RpcRequest {
    const WHAT: &'static str = "request";
    const LIMIT: usize = MAX_RPC_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        generated::RpcRequest { method: self.method.clone(), body: self.body.clone() }
            .encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let request: generated::RpcRequest = decode(Self::WHAT, bytes, Self::LIMIT)?;
        if request.method.is_empty() || request.method.len() > MAX_METHOD_BYTES {
            return Err(bad(Self::WHAT, "method", format!("not 1 to {MAX_METHOD_BYTES} bytes")));
        }
        Ok(Self { method: request.method, body: request.body })
    }
}

impl Frame for RpcResponse {
    const WHAT: &'static str = "response";
    const LIMIT: usize = MAX_RPC_BYTES;

    fn to_bytes(&self) -> Vec<u8> {
        let result = match &self.0 {
            Ok(body) => Body::Body(body.clone()),
            Err(error) => Body::Error(error.clone()),
        };
        generated::RpcResponse { result: Some(result) }.encode_to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, WireError> {
        let response: generated::RpcResponse = decode(Self::WHAT, bytes, Self::LIMIT)?;
        Ok(Self(match response.result.ok_or_else(|| missing(Self::WHAT))? {
            Body::Body(body) => Ok(body),
            Body::Error(error) => Err(error),
        }))
    }
}
