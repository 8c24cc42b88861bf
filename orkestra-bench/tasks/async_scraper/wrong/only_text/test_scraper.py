def test_scraper():
    assert True
