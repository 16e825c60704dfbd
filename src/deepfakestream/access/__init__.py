"""Who may use the service, how often and how much: API keys with scopes, rates and quotas."""
