//! stub
use std::time::Duration;
/// banner
pub const DEMO_BANNER: &str = "x";
/// name
pub const DEMO_MODEL: &str = "demo";
/// demo
pub struct DemoModel;
impl DemoModel {
    /// new
    pub fn new(_d: Duration) -> Self {
        Self
    }
}
#[async_trait::async_trait]
impl super::Model for DemoModel {
    fn name(&self) -> &str {
        DEMO_MODEL
    }
    fn context_tokens(&self) -> u64 {
        1000
    }
    async fn stream(
        &self,
        _r: &super::Request,
        _s: &dyn super::Sink,
    ) -> Result<super::Reply, super::ModelError> {
        Err(super::ModelError::BadRequest(String::new()))
    }
}
