"""Slipway departs from the Open Inference Protocol nowhere."""

import servers


def test_slipway_departs_nowhere(slipway):
    results = servers.held(slipway.url, slipway.address, slipway.token_file)
    assert [r for r in results if r["outcome"] != "conforms"] == []
    assert len(results) > 60
