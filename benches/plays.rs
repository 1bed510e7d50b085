//! Lines of NDJSON for the benches that ingest with the built program.

const VIEWERS: u64 = 20_000;

/// An event of some 600 bytes, a second after the one before, of one of the viewers.
pub(crate) fn line(number: u64) -> String {
    let viewer = number % VIEWERS;
    format!(
        "{{\"occurred_at\":{},\"event\":\"play_requested\",\"requestor_id\":\"REF30\",\"event_id\":\"b{number}\",\"mvpd\":\"Cableco\",\
         \"mvpd_user_id\":\"dXNlci0{viewer}\",\"resource_id\":\"channel-{}\",\"sdk_type\":\"Clientless\",\"sdk_version\":\"4.7.0\",\
         \"device_type\":\"PC\",\"device_model\":\"AppleTV11,1\",\"device_os_name\":\"tvOS\",\"device_os_version\":\"17.4\",\
         \"ip_address\":\"203.0.113.{}\",\"user_agent\":\"Mozilla/5.0 (Apple TV; CPU OS 17_4 like Mac OS X)\",\
         \"latency_ms\":{},\"device_id\":\"{:040x}\",\"session_id\":\"{number:016x}\"}}\n",
        1_780_000_000 + number,
        number % 40,
        viewer % 254 + 1,
        number % 900,
        viewer * 2_654_435_761,
    )
}
