from tests.stories import tell
def test_jill(api):
    tell(api)
def test_asha(api):
    tell(api, "family")
