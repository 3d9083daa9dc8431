"""A platform with models of every datatype and of every runtime that needs no environment."""

import dataclasses
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import identity  # noqa: E402
import servers  # noqa: E402


@dataclasses.dataclass(frozen=True)
class Slipway:
    url: str
    token_file: str

    @property
    def address(self):
        return self.url.removeprefix("http://")

    @property
    def headers(self):
        return {"authorization": "Bearer " + pathlib.Path(self.token_file).read_text().strip()}


@pytest.fixture(scope="session")
def slipway():
    models = {"identity": identity.TYPED, "all": list(identity.DATATYPES)}
    with servers.slipway(os.environ["PLATFORM"], models) as (url, token_file):
        yield Slipway(url, token_file)
