//! The three calls to EC2 that the example needs: its Query API, signed by `aws-sigv4` and sent by `reqwest`.
//!
//! Only two fields of EC2's XML matter here, so they are read by hand. Whoever needs more of EC2 takes `aws-sdk-ec2`.

use std::fmt;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use reqwest::Url;

const API_VERSION: &str = "2016-11-15";
const FORM: &str = "application/x-www-form-urlencoded";
const TAG: &str = "acceptd:delivery";

/// A client for one region.
pub struct Ec2 {
    http: reqwest::Client,
    endpoint: Url,
    region: String,
    credentials: Credentials,
}

/// EC2 said no.
#[derive(Debug)]
pub struct Refused {
    /// EC2's own word, such as `InvalidAMIID.NotFound`.
    pub code: String,
    /// EC2's sentence.
    pub message: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EC2 answered {}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refused {}

impl Ec2 {
    /// A client with the usual variables: `AWS_DEFAULT_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and
    /// `AWS_SESSION_TOKEN` and `AWS_ENDPOINT_URL` where they are set.
    pub fn from_environment() -> anyhow::Result<Self> {
        let variable = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        let region = variable("AWS_DEFAULT_REGION")?;
        let endpoint =
            std::env::var("AWS_ENDPOINT_URL").unwrap_or_else(|_| format!("https://ec2.{region}.amazonaws.com"));
        let session = std::env::var("AWS_SESSION_TOKEN").ok();
        let (key, secret) = (variable("AWS_ACCESS_KEY_ID")?, variable("AWS_SECRET_ACCESS_KEY")?);
        Ok(Self {
            http: reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?,
            endpoint: Url::parse(&endpoint).context("AWS_ENDPOINT_URL is not a URL")?,
            region,
            credentials: Credentials::new(key, secret, session, None, "environment"),
        })
    }

    /// The machine that was launched for this delivery, if there is one.
    pub async fn find(&self, delivery: &str) -> anyhow::Result<Option<String>> {
        let tag = format!("tag:{TAG}");
        let filters = [
            ("Filter.1.Name", tag.as_str()),
            ("Filter.1.Value.1", delivery),
            ("Filter.2.Name", "instance-state-name"),
            ("Filter.2.Value.1", "pending"),
            ("Filter.2.Value.2", "running"),
            ("Filter.2.Value.3", "stopping"),
            ("Filter.2.Value.4", "stopped"),
        ];
        let xml = self.call("DescribeInstances", &filters).await?;
        Ok(text_of(&xml, "instanceId").map(String::from))
    }

    /// Asks for a machine and returns its id at once; the machine is not running yet.
    ///
    /// EC2 itself refuses to launch two for one delivery (`ClientToken`), and the tag lets [`Ec2::find`] find it.
    pub async fn launch(&self, ami: &str, instance_type: &str, delivery: &str) -> anyhow::Result<String> {
        let parameters = [
            ("ImageId", ami),
            ("InstanceType", instance_type),
            ("MinCount", "1"),
            ("MaxCount", "1"),
            ("ClientToken", delivery),
            ("TagSpecification.1.ResourceType", "instance"),
            ("TagSpecification.1.Tag.1.Key", TAG),
            ("TagSpecification.1.Tag.1.Value", delivery),
        ];
        let xml = self.call("RunInstances", &parameters).await?;
        text_of(&xml, "instanceId").map(String::from).context("EC2's answer names no instance")
    }

    /// The state of a machine: `pending`, `running`, ...
    pub async fn state(&self, instance: &str) -> anyhow::Result<String> {
        let xml = self.call("DescribeInstances", &[("InstanceId.1", instance)]).await?;
        let state = text_of(&xml, "instanceState").and_then(|state| text_of(state, "name"));
        state.map(String::from).context("EC2's answer names no state")
    }

    async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        // A URL's query has the encoding of a form, so `Url` makes the body.
        let mut form = self.endpoint.clone();
        form.query_pairs_mut().extend_pairs([("Action", action), ("Version", API_VERSION)]).extend_pairs(parameters);
        let body = form.query().unwrap_or_default().to_owned();

        let mut request = self.http.post(self.endpoint.clone()).header("content-type", FORM);
        for (name, value) in self.signature(&body)? {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await?;
        let status = response.status();
        let xml = response.text().await?;
        if status.is_success() {
            return Ok(xml);
        }
        let field = |name| text_of(&xml, name).unwrap_or_default().to_owned();
        Err(Refused { code: field("Code"), message: field("Message") }.into())
    }

    fn signature(&self, body: &str) -> anyhow::Result<Vec<(String, String)>> {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("ec2")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = [("content-type", FORM)].into_iter();
        let request =
            SignableRequest::new("POST", self.endpoint.as_str(), headers, SignableBody::Bytes(body.as_bytes()))?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

/// What stands between the first `<name>` and the `</name>` after it.
fn text_of<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

#[cfg(test)]
mod tests {
    use super::text_of;

    #[test]
    fn reads_the_two_fields() {
        let xml = "<item><instanceId>i-1</instanceId><instanceState><code>0</code>\n <name> pending </name>\
                   </instanceState></item>";
        assert_eq!(text_of(xml, "instanceId"), Some("i-1"));
        assert_eq!(text_of(xml, "instanceState").and_then(|state| text_of(state, "name")), Some("pending"));
        assert_eq!(text_of(xml, "imageId"), None);
        assert_eq!(text_of("<name>never closed", "name"), None);
    }
}
