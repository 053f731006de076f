"""Shape classes of spines: patches, networks' answers, rules, and where a network looked."""
