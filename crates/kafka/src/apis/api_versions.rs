//! ApiVersions: which APIs are served in which versions.
//!
//! Behaviour: the dispatch table, as it is. A version that isn't known is answered in version 0 with
//! UNSUPPORTED_VERSION and ApiVersions' own range, from which the client picks (KIP-511). The response header is
//! always version 0. The client's name and version (v3+) are checked by KIP-511's pattern and kept.
//! Versions: v1 throttle time · v3 flexible, client software · v4 features with minimum 0 (KIP-1022).
//! Features: none are advertised, since none is there yet (transaction.version, group.version, share.version).
//! Source: KIP-511, KIP-584; Kafka's `ApiVersionsRequest` and `KafkaApis.handleApiVersionsRequest`.

use kafka_wire::api_versions_response::ApiVersion as Range;
use kafka_wire::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_wire_core::StrBytes;

use crate::dispatch::{API_VERSIONS_KEY, APIS, Api, Call, Handled, api_at};
use crate::errors::ErrorCode;
use crate::message;
use crate::session::reply::{Outcome, Reply};

/// ApiVersions in the table.
pub const API: Api = Api {
    key: API_VERSIONS_KEY,
    name: "ApiVersions",
    min: 0,
    max: 4,
    advertised_min: 0,
    flexible_from: 3,
    notes: "newer versions are answered in v0",
    handler: |call| Box::pin(handle(call)),
};

async fn handle(mut call: Call<'_>) -> Handled {
    let served = api_at(call.api);
    if !(served.min..=served.max).contains(&call.version) {
        return unknown_version(call);
    }
    let request: ApiVersionsRequest = call.decode()?;
    if call.version >= 3 {
        let (name, version) = (&request.client_software_name, &request.client_software_version);
        if !is_software_word(name) || !is_software_word(version) {
            call.count_errors([ErrorCode::InvalidRequest.code()]);
            let response = message!(ApiVersionsResponse { error_code: ErrorCode::InvalidRequest.code() });
            return call.reply(&response, duolog_types::Lsn::ZERO);
        }
        call.client.software = Some((name.to_string(), version.to_string()));
    }
    let mut api_keys: Vec<Range> = APIS.iter().map(range).collect();
    api_keys.sort_by_key(|api| api.api_key);
    let response = message!(ApiVersionsResponse { api_keys: api_keys, finalized_features_epoch: 0 });
    call.reply(&response, duolog_types::Lsn::ZERO)
}

/// The client can't read any other version than 0 for sure.
fn unknown_version(call: Call<'_>) -> Handled {
    call.count_errors([ErrorCode::UnsupportedVersion.code()]);
    let response = message!(ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![range(api_at(call.api))],
    });
    let frame = call.frame.encode(&response, 0).map_err(|error| {
        crate::session::close::CloseReason::Internal(format!("ApiVersions response version 0: {error}"))
    })?;
    Ok(Outcome::Reply(Reply::new(frame)))
}

fn range(api: &Api) -> Range {
    message!(Range { api_key: api.key, min_version: api.advertised_min, max_version: api.max })
}

/// KIP-511: `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_software_word(word: &StrBytes) -> bool {
    let bytes = word.as_bytes();
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_words_are_those_of_kip_511() {
        for word in ["a", "apache-kafka-java", "2.7.0", "A1", "librdkafka", "0"] {
            assert!(is_software_word(&StrBytes::from(word)), "{word}");
        }
        for word in ["", "-", ".a", "a-", "a b", "a_b", "ä", "1.0 "] {
            assert!(!is_software_word(&StrBytes::from(word)), "{word}");
        }
    }
}
