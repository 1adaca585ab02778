"""Settings of a DOMS process, read once at start from the environment (``DOMS_*``) or a file of secrets.

Only the programs in ``workers`` read settings; everything below them is handed what it needs.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What a process must know of its surroundings.

    Attributes:
        home: Where the embedded stack keeps its data, logs and generated secrets.
        database_url: ``postgresql://`` address of the facts. Empty means the embedded Postgres under ``home``.
        temporal_address: ``host:port`` of the Temporal frontend. Empty means the embedded server under ``home``.
        payload_keys: AES keys for Temporal payloads, ``id:base64,id:base64``; the first encrypts, all decrypt.
        partner_key: Master key from which each partner's shared secret is derived (``shared.gateways.signing``).
        sftp_passwords: Passwords at the SFTP servers of feed sources, a JSON object by source.
        sftp_keys: Files of private keys for them, a JSON object by source.
    """

    model_config = SettingsConfigDict(env_prefix="DOMS_", extra="ignore")

    home: Path = Path("var")
    database_url: str = ""
    temporal_address: str = ""
    temporal_namespace: str = "default"
    temporal_tls: bool = False
    temporal_tls_ca: Path | None = None
    temporal_tls_cert: Path | None = None
    temporal_tls_key: Path | None = None
    temporal_api_key: SecretStr = SecretStr("")
    payload_keys: SecretStr = SecretStr("")
    partner_key: SecretStr = SecretStr("")
    sftp_passwords: dict[str, SecretStr] = Field(default_factory=dict)
    sftp_keys: dict[str, Path] = Field(default_factory=dict)
    api_url: str = ""
    log_format: str = Field(default="console", pattern="^(console|json)$")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
