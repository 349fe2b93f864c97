/** The version that /health, /openapi.json and the command line show; a test keeps it equal to package.json. */
export const VERSION = '0.1.0';
