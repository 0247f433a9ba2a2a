window.faLost && window.faLost('Connection to the monitor lost')
