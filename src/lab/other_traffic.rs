//! What the client measures beside its stream. Pure.

use serde::Serialize;

use crate::lab::call::CallQuality;
use crate::lab::download::DownloadTraffic;
use crate::lab::stream::ClientTraffic;

/// What the client measures beside its stream in a phase, as far as something is expected of it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct OtherTraffic {
    /// Its new connections, a packet each.
    #[serde(rename = "felt_new", skip_serializing_if = "Option::is_none")]
    pub new: Option<ClientTraffic>,
    /// So long after the last change of the route all new connections go by it.
    #[serde(rename = "new_moved_ms", skip_serializing_if = "Option::is_none")]
    pub new_moved_ms: Option<f64>,
    /// Its call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call: Option<CallQuality>,
    /// Its download.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub download: Option<DownloadTraffic>,
}
