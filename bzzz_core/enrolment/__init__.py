"""Who belongs to the cluster: the registry, joining, renewal of certificates, and revocation."""
