"""How people are reached: mail by SMTP, Microsoft Graph or Azure Communication Services; Teams; Slack."""
