//! How much disk generations take.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::models::Volume;
use bollard::query_parameters::ListVolumesOptions;

use super::label::{self, Reading};
use super::{Docker, failure};
use crate::error::Result;

/// How often the daemon is asked: it gives up on a volume when a file that it has seen is gone, as
/// those of a running server are now and then.
const TRIES: usize = 5;

/// How long others may be measuring.
const PATIENCE: Duration = Duration::from_secs(20);

impl Docker {
    /// Bytes of every generation, of one instance or of all, by handle; without those that the
    /// daemon does not know the size of. The daemon walks through the files: slow.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        let mut left = TRIES;
        loop {
            left -= 1;
            let volumes = self.measured_volumes().await?.into_iter();
            let mine: Vec<(String, Option<u64>)> = volumes
                .filter_map(|volume| {
                    let Reading::Ours(generation) =
                        label::read_volume(&volume.name, &volume.labels)
                    else {
                        return None;
                    };
                    let is_wanted = key.is_none_or(|key| generation.owner.key() == key);
                    let bytes = volume.usage_data.and_then(|usage| u64::try_from(usage.size).ok());
                    is_wanted.then_some((generation.handle, bytes))
                })
                .collect();
            let all_known = mine.iter().all(|(_, bytes)| bytes.is_some());
            if all_known || left == 0 {
                let known = |(handle, bytes): (String, Option<u64>)| Some((handle, bytes?));
                return Ok(mine.into_iter().filter_map(known).collect());
            }
        }
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
        let usage = loop {
            match client.df(None).await {
                Ok(usage) => break usage,
                // Daemons before API 1.42 measure for one client at a time and send others away.
                Err(refusal)
                    if failure::text(&refusal).contains("already running")
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(refusal) => return Err(self.failed(&refusal, what)),
            }
        };
        if let Some(volumes) = usage.volume_usage {
            let items = volumes.items.unwrap_or_default().into_iter();
            return Ok(items.filter_map(|item| serde_json::from_value(item).ok()).collect());
        }
        // Daemons before API 1.52 answer in a shape that bollard no longer knows. It is that of the
        // list of volumes, so it is read as one.
        let answer = client.list_volumes(None::<ListVolumesOptions>).await;
        let answer = answer.map_err(|refusal| self.failed(&refusal, what))?;
        Ok(answer.volumes.unwrap_or_default())
    }
}
