module.exports = { extension: ['ts'], timeout: 30_000, slow: 1_000 };
