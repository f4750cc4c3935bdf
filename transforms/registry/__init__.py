"""Which campaigns are in force when: numbered sets, published once and never changed."""
