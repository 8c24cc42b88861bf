# import csv, json
# Writes summary.json (revenue, average, median), by_region.csv and rejected.csv (missing value, bad date, duplicate).
