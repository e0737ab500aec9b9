"""What the gateway should be. Pure: values in, values out."""
