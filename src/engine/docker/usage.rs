//! How much disk generations take.

use std::collections::BTreeMap;

use bollard::models::Volume;
use bollard::query_parameters::{DataUsageOptionsBuilder, ListVolumesOptions};

use super::label::{self, Reading};
use super::{Docker, failure};
use crate::error::Result;

impl Docker {
    /// Bytes of every generation, of one instance or of all, by handle; without those that the
    /// daemon does not know the size of. The daemon walks through the files: slow.
    ///
    /// # Errors
    /// `NoEngine` when the daemon does not answer.
    pub async fn sizes(&self, key: Option<&str>) -> Result<BTreeMap<String, u64>> {
        let volumes = self.measured_volumes().await?;
        let wanted = volumes.into_iter().filter_map(|volume| {
            let Reading::Ours(generation) = label::read_volume(&volume.name, &volume.labels) else {
                return None;
            };
            let is_wanted = key.is_none_or(|key| generation.owner.key() == key);
            let bytes = u64::try_from(volume.usage_data?.size).ok()?;
            is_wanted.then_some((generation.handle, bytes))
        });
        Ok(wanted.collect())
    }

    async fn measured_volumes(&self) -> Result<Vec<Volume>> {
        let what = "cannot ask the engine for the sizes of volumes";
        let options =
            DataUsageOptionsBuilder::new()._type(vec!["volume".into()]).verbose(true).build();
        let usage = self.client.df(Some(options)).await;
        let usage = usage.map_err(|refusal| self.failed(&refusal, what))?;
        if let Some(volumes) = usage.volume_usage {
            let items = volumes.items.unwrap_or_default().into_iter();
            return Ok(items.filter_map(|item| serde_json::from_value(item).ok()).collect());
        }
        // Daemons before API 1.52 answer in a shape that bollard knows no longer. It is that of the
        // list of volumes, so it is read as one.
        let client = self.client.clone().with_request_modifier(|mut request| {
            let uri = request.uri().to_string();
            let path = uri.rfind("/volumes").map_or(uri.as_str(), |end| &uri[..end]);
            if let Ok(uri) = format!("{path}/system/df?type=volume").parse() {
                *request.uri_mut() = uri;
            }
            request
        });
        match client.list_volumes(None::<ListVolumesOptions>).await {
            Ok(answer) => Ok(answer.volumes.unwrap_or_default()),
            Err(refusal) if failure::status(&refusal).is_none() => {
                Err(self.failed(&refusal, what))
            }
            // A size is a service, not a promise.
            Err(_) => Ok(Vec::new()),
        }
    }
}
