/** Names that figment's plugins bring, for people; what is not here is shown as the plugin has it. */
export default {
  "count.train": "training",
  "count.val": "validation",
  "count.test": "test",
  "count.accepted": "accepted",
  "count.rejected": "refused",

  "extra.average": "The average answer",
  "extra.disagreement": "Where the answers disagree",
  "extra.mask": "What was found",

  "metric.fd": "Fréchet distance",
  "metric.fid": "Fréchet Inception distance",
  "metric.fd_infinite": "Fréchet distance, extrapolated",
  "metric.fd_infinite_both": "Fréchet distance, extrapolated twice",
  "metric.kid": "Kernel distance",
  "metric.precision": "Precision",
  "metric.recall": "Recall",
  "metric.density": "Density",
  "metric.coverage": "Coverage",
  "metric.inception_score": "Inception score",
  "metric.accuracy": "Accuracy",
  "metric.nearest": "Nearest training picture",
  "metric.novel": "Novel",
  "metric.authenticity": "Authenticity",
  "metric.bits_per_dim": "Bits a dimension",
  "metric.mmd": "Mean discrepancy",
  "metric.mifid": "Fréchet distance, copies punished",
  "step.hand": "hand",

  "metric.psnr": "PSNR",
  "metric.ssim": "SSIM",
};
