"""The cluster's backbone: broker processes, publish/subscribe, and guarded records."""
