import pytest

from stack.config import HostConfig, IpConfig
from stack.errors import ConfigError


@pytest.mark.parametrize(
    "setting",
    [
        {"ttl": 0},
        {"ttl": 256},
        {"icmp_rate_per_s": -1},
        {"icmp_burst": -1},
        {"reassembly_timeout_us": 59_999_999},
        {"reassembly_timeout_us": 120_000_001},
        {"arp_retry_us": 999_999},
        {"arp_tries": 0},
        {"arp_entries": 0},
    ],
)
def test_settings_of_ip_that_cannot_work_are_refused(setting):
    HostConfig().validate()
    with pytest.raises(ConfigError):
        HostConfig(ip=IpConfig(**setting)).validate()
