//! How much disk generations take.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::errors::Error as Refusal;
use bollard::models::Volume;
use bollard::query_parameters::ListVolumesOptions;

use super::label::{self, Reading};
use super::{Docker, failure};
use crate::error::Result;

/// How often the daemon is asked: it gives up on a volume when a file that it has seen is gone, as
/// those of a running server are now and then.
const TRIES: usize = 5;

/// How long others may be measuring.
const PATIENCE: Duration = Duration::from_secs(60);

impl Docker {
    /// Bytes of every generation, of one instance or of all, by handle; without those that the
    /// daemon does not know the size of. The daemon walks through the files: slow.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        let mut known = BTreeMap::new();
        for _ in 0..TRIES {
            let mut is_all = true;
            for volume in self.measured_volumes().await? {
                let Reading::Ours(generation) = label::read_volume(&volume.name, &volume.labels)
                else {
                    continue;
                };
                if key.is_some_and(|key| generation.owner.key() != key) {
                    continue;
                }
                match volume.usage_data.and_then(|usage| u64::try_from(usage.size).ok()) {
                    Some(bytes) => drop(known.insert(generation.handle, bytes)),
                    None => is_all &= known.contains_key(&generation.handle),
                }
            }
            if is_all {
                break;
            }
        }
        Ok(known)
    }

    async fn measured_volumes(&self) -> Result<Vec<Volume>> {
        let what = "cannot ask the engine for the sizes of volumes";
        // bollard cannot write `type=volume`, without which images are measured too.
        let client = self.client.clone().with_request_modifier(|mut request| {
            let uri = request.uri().to_string();
            let end = uri.rfind("/system/df").or_else(|| uri.rfind("/volumes"));
            let daemon = end.map_or(uri.as_str(), |end| &uri[..end]);
            if let Ok(uri) = format!("{daemon}/system/df?type=volume&verbose=1").parse() {
                *request.uri_mut() = uri;
            }
            request
        });
        let deadline = Instant::now() + PATIENCE;
        loop {
            match measure(&client).await {
                Ok(volumes) => return Ok(volumes),
                // Daemons before API 1.42 measure for one client at a time and send others away.
                Err(refusal)
                    if failure::text(&refusal).contains("already running")
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(refusal) => return Err(self.failed(&refusal, what)),
            }
        }
    }
}

/// Daemons before API 1.52 answer in a shape that bollard no longer knows. It is that of the list of
/// volumes, so it is read as one. They are asked first: with them it takes longest.
async fn measure(client: &bollard::Docker) -> Result<Vec<Volume>, Refusal> {
    let list = client.list_volumes(None::<ListVolumesOptions>).await?;
    if let Some(volumes) = list.volumes {
        return Ok(volumes);
    }
    let items = client.df(None).await?.volume_usage.and_then(|usage| usage.items);
    let items = items.unwrap_or_default().into_iter();
    Ok(items.filter_map(|item| serde_json::from_value(item).ok()).collect())
}
